//! The arguments of the attribute.

mod cost;
mod names;
mod tenant;

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Ident, LitStr, Path, Result, Token, Type, token};

use crate::errors::Errors;
use crate::list::{skip_to_comma, unseparated};
use crate::need::{self, Need};

pub(crate) use tenant::Tenant;

/// The arguments in the parentheses of the attribute.
pub(crate) struct Args {
    pub(crate) need: Need,
    pub(crate) optional: Option<Ident>,
    pub(crate) key: Option<Ident>,
    pub(crate) request: Option<Expr>,
    /// The store's expression, with the argument's name, to which errors about it point.
    pub(crate) store: Option<(Ident, Expr)>,
    pub(crate) on_reject: Option<(Ident, Expr)>,
    /// Keys of which tenant pass, with the argument's name.
    pub(crate) tenant: Option<(Ident, Tenant)>,
    /// The uses of the key's quota that a request takes.
    pub(crate) cost: Option<u32>,
    pub(crate) catalog: Option<Type>,
    pub(crate) facade: Option<Path>,
    /// The first name of the requirement, for "given twice".
    required: Option<Ident>,
}

impl Args {
    /// Parses every argument. Adds a malformed one to `errors` and skips it.
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::new();
        let read = |input: ParseStream<'_>| {
            while !input.is_empty() {
                if let Err(error) = args.argument(input, errors) {
                    errors.add(error);
                    skip_to_comma(input);
                }
                input.parse::<Option<Token![,]>>()?;
            }
            Ok(())
        };
        let done: Result<()> = read.parse2(tokens);
        if let Err(error) = done {
            errors.add(error);
        }
        if let (Some(_), Some((name, _))) = (&args.optional, &args.tenant) {
            errors.at(
                name,
                "with `optional` a request without a key passes, and such a request is of no tenant: leave out `optional`, \
                 or check the key, if there is one, in the body: `key.in_tenant(..)?`",
            );
        }
        args
    }

    /// Parses the arguments of `perm!`: a requirement, and optionally `crate = path`.
    pub(crate) fn parse_perm(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::new();
        let read = |input: ParseStream<'_>| {
            if input.is_empty() {
                return Err(syn::Error::new(input.span(), "name the permission, as in `perm!(\"orders:read\")`"));
            }
            args.need = need::need(input, errors)?;
            if input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
                if !input.peek(Token![crate]) {
                    return Err(input.error("one requirement is expected: combine them as `any(..)` or `all(..)`"));
                }
                input.parse::<Token![crate]>()?;
                input.parse::<Token![=]>()?;
                args.facade = Some(input.call(Path::parse_mod_style)?);
                input.parse::<Option<Token![,]>>()?;
            }
            Ok(())
        };
        let done: Result<()> = read.parse2(tokens);
        if let Err(error) = done {
            errors.add(error);
        }
        args
    }

    fn new() -> Self {
        Self {
            need: Need::Authenticated,
            optional: None,
            key: None,
            request: None,
            store: None,
            on_reject: None,
            tenant: None,
            cost: None,
            catalog: None,
            facade: None,
            required: None,
        }
    }

    fn argument(&mut self, input: ParseStream<'_>, errors: &mut Errors) -> Result<()> {
        if input.peek(LitStr) {
            return Err(input.error("name the argument: `perm = \"...\"`"));
        }
        if !input.peek(Ident::peek_any) {
            return Err(input.error(format!("an argument is expected here: {}", names::LIST)));
        }
        if need::is_tree(input) {
            let name = input.fork().call(Ident::parse_any)?;
            let tree = need::need(input, errors)?;
            unseparated(input)?;
            return self.require(name, tree);
        }
        let name = input.call(Ident::parse_any)?;
        match name.to_string().as_str() {
            "optional" => {
                if input.peek(Token![=]) || input.peek(token::Paren) {
                    return Err(syn::Error::new(
                        name.span(),
                        "`optional` takes no value: leave it out where a key is needed",
                    ));
                }
                set_once(&mut self.optional, &name, name.clone())?;
            }
            "perm" => {
                equals(&name, "a permission, such as \"orders:read\"", input)?;
                let need = need::need(input, errors)?;
                unseparated(input)?;
                self.require(name, need)?;
            }
            "key" => {
                equals(&name, "a name", input)?;
                let Ok(key) = input.parse::<Ident>() else {
                    return Err(input.error("`key` takes a name, as in `key = caller`"));
                };
                set_once(&mut self.key, &name, key)?;
            }
            "request" => {
                equals(&name, "the parameter that carries the request", input)?;
                set_once(&mut self.request, &name, input.parse()?)?;
            }
            "store" => {
                equals(&name, "an expression that is a `KeyStore`", input)?;
                set_once(&mut self.store, &name, (name.clone(), input.parse()?))?;
            }
            "on_reject" => {
                equals(&name, "a function from `Rejection` to the return type", input)?;
                set_once(&mut self.on_reject, &name, (name.clone(), input.parse()?))?;
            }
            "tenant" => {
                equals(&name, "an expression that is the tenant's name, such as a parameter, or `none`", input)?;
                set_once(&mut self.tenant, &name, (name.clone(), tenant::tenant(input)?))?;
            }
            "cost" => {
                equals(&name, "the uses of the key's quota that a request takes, such as 5", input)?;
                set_once(&mut self.cost, &name, cost::cost(input)?)?;
            }
            "catalog" => {
                equals(&name, "the name of a `permissions!` catalogue", input)?;
                set_once(&mut self.catalog, &name, input.parse()?)?;
            }
            "crate" => {
                equals(&name, "the path of the `apikey` crate", input)?;
                set_once(&mut self.facade, &name, input.call(Path::parse_mod_style)?)?;
            }
            "any" | "all" => {
                let message = format!("`{name}` takes a list in parentheses: `{name}(\"a:b\", \"c:d\")`");
                return Err(syn::Error::new(name.span(), message));
            }
            unknown => return Err(syn::Error::new(name.span(), names::unknown(unknown))),
        }
        unseparated(input)
    }

    fn require(&mut self, name: Ident, need: Need) -> Result<()> {
        if let Some(first) = &self.required {
            let message = if *first == name {
                format!("`{name}` is given twice: combine the permissions as `all(..)` or `any(..)`")
            } else {
                format!("`{first}` is given already: combine the permissions as `all(..)` or `any(..)`")
            };
            return Err(syn::Error::new(name.span(), message));
        }
        self.required = Some(name);
        self.need = need;
        Ok(())
    }
}

fn equals(name: &Ident, what: &str, input: ParseStream<'_>) -> Result<()> {
    if input.peek(Token![=]) {
        input.parse::<Token![=]>()?;
        if !input.is_empty() && !input.peek(Token![,]) {
            return Ok(());
        }
    }
    Err(syn::Error::new(name.span(), format!("write `{name} = ` and {what}")))
}

/// Sets an argument, unless it is set already.
fn set_once<T>(slot: &mut Option<T>, name: &Ident, value: T) -> Result<()> {
    if slot.is_some() {
        return Err(syn::Error::new(name.span(), format!("`{name}` is given twice")));
    }
    *slot = Some(value);
    Ok(())
}
