//! Decides the expansion of a function from its arguments and its signature alone. A reader of the function sees the
//! mode, too: `request = ..` or a `self` receiver means a check in the body.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::punctuated::Pair;
use syn::{Expr, FnArg, Ident, PatType, Signature};

use crate::args::{Args, Tenant};
use crate::errors::Errors;
use crate::function::Function;
use crate::signature::{Hidden, KeyKind, hidden_return, is_key_reference, is_ours, key_kind, may_be_macro, plain_name};
use crate::switches::Switches;

/// The expansion of a function.
pub(crate) enum Plan {
    /// Puts a guard before the parameters; the framework extracts it first.
    Extract {
        /// The key parameters, removed from the signature; more than one is an error.
        keys: Vec<PatType>,
        /// Whether the function accepts a request without a key.
        optional: bool,
        /// Whether the guard alone exceeds the number of parameters that clippy allows.
        too_many: bool,
    },
    /// Puts a check at the top of the body.
    InBody {
        /// The expression that carries the key.
        source: TokenStream,
    },
    /// An error prevents a check: binds only the names, so that no further errors follow.
    Names,
    /// An error prevents any expansion.
    Unchanged,
}

/// Chooses the expansion, and removes the key parameter and repeated attributes from the function.
pub(crate) fn plan(args: &Args, function: &mut Function, switches: Switches, errors: &mut Errors) -> Plan {
    if let Some(keyword) = &function.sig.constness {
        errors.at(keyword, "a `const fn` cannot check an API key");
        return Plan::Unchanged;
    }
    let repeated = function.attrs.iter().find(|attr| is_ours(attr));
    if let Some(repeated) = repeated {
        errors.at(repeated, "a function takes one `#[require_api_key]`; combine the permissions as `all(..)`");
        function.attrs.retain(|attr| !is_ours(attr));
    }
    if args.request.is_some() || function.sig.receiver().is_some() {
        in_body(args, &function.sig, errors)
    } else {
        extract(args, function, switches, errors)
    }
}

fn in_body(args: &Args, sig: &Signature, errors: &mut Errors) -> Plan {
    if let Some(param) = sig.inputs.iter().find(|arg| key_kind(arg).is_some()) {
        errors.at(
            param,
            "the signature stays as written: remove this parameter and bind the key with `key = name` in the attribute",
        );
        return Plan::Names;
    }
    if args.on_reject.is_none()
        && let Some(hidden) = hidden_return(sig)
    {
        let message = match hidden {
            Hidden::Future => {
                "a rejected request cannot be returned as this hidden future: write `async fn`, or return \
                 `Pin<Box<dyn Future<Output = ...> + Send>>`"
            }
            Hidden::Trait => {
                "a rejected request has to be returned as some type, and `impl Trait` hides it: return \
                 `Result<impl Trait, E>` where `E: From<apikey::Rejection>`, or a concrete response type"
            }
        };
        errors.at(&sig.output, message);
        return Plan::Names;
    }
    if let Some(request) = &args.request {
        return Plan::InBody { source: request.to_token_stream() };
    }
    match sig.inputs.iter().find(|arg| matches!(arg, FnArg::Typed(_))) {
        None => {
            errors.at(
                &sig.ident,
                "this method has no parameter to read the API key from; name what carries it, as in \
                 `request = self.headers`",
            );
            Plan::Names
        }
        Some(first) => match plain_name(first) {
            Some(name) => Plan::InBody { source: name.to_token_stream() },
            None => {
                errors.at(
                    first,
                    "the API key is read from this parameter, so it needs a plain name; or say what it is read from, \
                     as in `request = headers`",
                );
                Plan::Names
            }
        },
    }
}

fn extract(args: &Args, function: &mut Function, switches: Switches, errors: &mut Errors) -> Plan {
    for (name, _) in args.store.iter().chain(&args.on_reject) {
        let own = if name == "store" { "takes the store from its own state" } else { "renders the refusal" };
        let message = format!(
            "`{name} = ...` needs `request = ...`: without it the web framework runs the check before the function, \
             and {own}"
        );
        errors.at(name, message);
    }
    let named = match &args.tenant {
        Some((name, Tenant::Named(expr))) => Some((name, expr)),
        _ => None,
    };
    if let Some((name, expr)) = named {
        errors.at(name, tenant_in_signature(expr));
    }
    if !switches.extract {
        // One mistake gives one error: the missing `request = ..` was reported already.
        if args.store.is_none() && args.on_reject.is_none() && named.is_none() {
            errors.at(&function.sig.ident, no_source(&function.sig));
        }
        return Plan::Names;
    }
    if switches.route_macro && !switches.plain_fn && !function.attrs.iter().any(may_be_macro) {
        errors.at(
            &function.sig.ident,
            "put `#[require_api_key]` above the route attribute of this function: below it the framework has read the \
             parameters already",
        );
        return Plan::Unchanged;
    }
    let before = function.sig.inputs.len();
    let mut optional = args.optional.is_some();
    let keys = take_keys(args, &mut function.sig, &mut optional, errors);
    let after = function.sig.inputs.len() + 1;
    Plan::Extract { keys, optional, too_many: before <= CLIPPY_LIMIT && after > CLIPPY_LIMIT }
}

/// The error for `tenant = ..` where a guard in the signature checks the key.
fn tenant_in_signature(tenant: &Expr) -> String {
    let tenant = tenant.to_token_stream();
    format!(
        "`tenant = ...` needs `request = ...`: without it the web framework runs the check before the function has its \
         parameters. Name the parameter that carries the request, or return a `Result` and begin the body with \
         `key.in_tenant({tenant})?;`, where `key` is the `VerifiedKey`"
    )
}

/// The default of `clippy::too_many_arguments`.
const CLIPPY_LIMIT: usize = 7;

fn no_source(sig: &Signature) -> String {
    // A key parameter cannot be the source of the key.
    let (keys, others): (Vec<&FnArg>, Vec<&FnArg>) = sig.inputs.iter().partition(|param| key_kind(param).is_some());
    let example = others.into_iter().find_map(plain_name).map_or_else(|| "req".to_owned(), Ident::to_string);
    if !keys.is_empty() {
        return format!(
            "where does the API key come from? A handler with `VerifiedKey` needs the feature of its web framework: \
             `apikey = {{ features = [\"axum\"] }}`; elsewhere name the parameter that carries the request, as in \
             `request = {example}`"
        );
    }
    format!(
        "where does the API key come from? Name the parameter that carries the request, as in `request = {example}`, \
         or enable the feature of a web framework: `apikey = {{ features = [\"axum\"] }}`"
    )
}

/// Removes the key parameters from the signature. If the type of one contradicts the attribute, `optional` follows the
/// type, so that the body has no errors of its own.
fn take_keys(args: &Args, sig: &mut Signature, optional: &mut bool, errors: &mut Errors) -> Vec<PatType> {
    let wanted = if *optional { KeyKind::Optional } else { KeyKind::Key };
    let mut found = Vec::new();
    let pairs: Vec<Pair<FnArg, _>> = std::mem::take(&mut sig.inputs).into_pairs().collect();
    for pair in pairs {
        let is_reference = is_key_reference(pair.value());
        let kind = key_kind(pair.value()).or_else(|| is_reference.then_some(KeyKind::Key));
        let Some(kind) = kind else {
            sig.inputs.extend([pair]);
            continue;
        };
        let FnArg::Typed(param) = pair.into_value() else { continue };
        if is_reference {
            errors.at(&param.ty, "a handler owns its key: write `VerifiedKey`, without the `&`");
        } else if kind != wanted {
            let message = match wanted {
                KeyKind::Optional => "with `optional` there may be no key: write `Option<VerifiedKey>`",
                KeyKind::Key => "there is always a key here: write `VerifiedKey`, or `optional` in the attribute",
            };
            errors.at(&param.ty, message);
        }
        if found.is_empty() {
            *optional = kind == KeyKind::Optional;
        } else {
            errors.at(&param, "only one parameter can be the `VerifiedKey`");
        }
        found.push(param);
    }
    if let (Some(param), Some(name)) = (found.first(), &args.key) {
        let pat = &param.pat;
        errors.at(name, format!("the key is already bound by the parameter `{}`", pat.to_token_stream()));
    }
    found
}
