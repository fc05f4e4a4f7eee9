//! Expansions, compared as tokens without a compiler.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::quote;

use crate::expand::{attribute, perm_type};
use crate::switches::Switches;

const NO_FRAMEWORK: Switches = Switches { extract: false, route_macro: false, plain_fn: false, inventory: false };
const PLAIN: Switches = Switches { extract: true, route_macro: false, plain_fn: true, inventory: false };
const ROUTES: Switches = Switches { extract: true, route_macro: true, plain_fn: false, inventory: false };
const BOTH: Switches = Switches { extract: true, route_macro: true, plain_fn: true, inventory: false };

fn expand(switches: Switches, args: TokenStream, item: TokenStream) -> String {
    attribute(args, item, switches).to_string()
}

/// The messages of the errors, and the rest of the tokens.
fn split(expanded: &str) -> (Vec<String>, String) {
    const ERROR: &str = ":: core :: compile_error !";
    let mut errors = Vec::new();
    let mut rest = expanded.trim();
    while let Some(after) = rest.strip_prefix(ERROR) {
        let trees: TokenStream = after.parse().unwrap();
        let Some(TokenTree::Group(group)) = trees.into_iter().next() else { panic!("{after}") };
        errors.push(syn::parse2::<syn::LitStr>(group.stream()).unwrap().value());
        rest = after.trim().strip_prefix(&group.to_string()).unwrap().trim();
    }
    (errors, rest.to_owned())
}

/// Removes spaces and trailing commas, which have no meaning.
fn bare(tokens: impl ToString) -> String {
    let text: String = tokens.to_string().split_whitespace().collect();
    text.replace(",)", ")").replace(",>", ">")
}

#[test]
fn the_guard_is_the_first_parameter() {
    let item = quote!(
        pub(crate) async fn list<T>(a: A, key: VerifiedKey, b: B) -> impl Trait {
            body(key)
        }
    );
    let wanted = quote!(
        pub(crate) async fn list<T>(
            __require_api_key: ::apikey::RequireApiKey<::apikey::__private::Perm<'a', ':', 'b'>>,
            a: A,
            b: B,
        ) -> impl Trait {
            let key: VerifiedKey = ::apikey::RequireApiKey::into_key(__require_api_key);
            body(key)
        }
    );
    assert_eq!(bare(expand(PLAIN, quote!(perm = "a:b"), item)), bare(wanted));
}

#[test]
fn a_cost_is_of_the_requirement() {
    let perm = "::apikey::__private::Perm<'a'>";
    let item = quote!(
        fn f(headers: &HeaderMap) -> R {}
    );
    for (args, wanted) in [
        (quote!(perm = "a", cost = 5), format!("::apikey::Cost<{perm},5>")),
        (quote!(cost = 1_000_000, perm = "a"), format!("::apikey::Cost<{perm},1000000>")),
        (quote!(perm = "a", cost = 5u32, tenant = none), format!("::apikey::NoTenant<::apikey::Cost<{perm},5>>")),
    ] {
        let expanded = bare(expand(PLAIN, args.clone(), item.clone()));
        assert!(expanded.contains(&format!("RequireApiKey<{wanted}>")), "{expanded}");
        let expanded = bare(expand(PLAIN, quote!(#args, request = headers), item.clone()));
        assert!(expanded.contains(&format!("authorize::<{wanted},_>")), "{expanded}");
    }
    for (cost, shown) in [
        (quote!(0), "0"),
        (quote!(-5), "-5"),
        (quote!(1_000_001), "1_000_001"),
        (quote!(99999999999999999999), "99999999999999999999"),
        (quote!(1.5), "1.5"),
        (quote!("5"), "\"5\""),
        (quote!(COST), "COST"),
        (quote!(2 + 3), "2+3"),
    ] {
        let (errors, _) = split(&expand(PLAIN, quote!(perm = "a", cost = #cost), item.clone()));
        let allowed = "a request takes 1 to 1,000,000 uses of its key's quota, written as a number";
        assert_eq!(errors, [format!("`cost = {shown}` is not allowed: {allowed}")]);
    }
}

#[test]
fn a_macro_below_sees_the_name_of_the_key() {
    let into = "=::apikey::RequireApiKey::into_key(";
    for (args, item, wanted) in [
        (
            quote!(),
            quote!(
                #[instrument]
                fn f(key: VerifiedKey, a: A) {}
            ),
            ["fnf(key:::apikey::", "key:VerifiedKey", "(key);"],
        ),
        (
            quote!(),
            quote!(
                #[instrument]
                fn f(a: A, mut key: VerifiedKey) {}
            ),
            ["fnf(key:", "letmutkey:VerifiedKey", "(key);"],
        ),
        (
            quote!(key = who),
            quote!(
                #[instrument]
                fn f(a: A) {}
            ),
            ["fnf(who:", "letwho", "(who);"],
        ),
        (
            quote!(key = a),
            quote!(
                #[instrument]
                fn f(a: A) {}
            ),
            ["fnf(__require_api_key:", "leta", "(__require_api_key);"],
        ),
        (
            quote!(),
            quote!(
                #[instrument]
                fn f(_: VerifiedKey) {}
            ),
            ["fnf(__require_api_key:", "let_", "(__require_api_key);"],
        ),
        (
            quote!(),
            quote!(
                #[inline]
                fn f(key: VerifiedKey) {}
            ),
            ["fnf(__require_api_key:", "letkey", "(__require_api_key);"],
        ),
    ] {
        let expanded = bare(expand(PLAIN, args, item));
        let [parameter, binding, value] = wanted;
        assert!(expanded.contains(parameter) && expanded.contains(binding), "{expanded}");
        assert!(expanded.contains(&format!("{into}{}", &value[1..])), "{expanded}");
    }
}

#[test]
fn a_handler_takes_its_key_by_value() {
    let (errors, rest) = split(&expand(
        PLAIN,
        quote!(),
        quote!(
            fn f(key: &VerifiedKey) {}
        ),
    ));
    assert_eq!(errors, ["a handler owns its key: write `VerifiedKey`, without the `&`"]);
    assert!(rest.contains("let key : & VerifiedKey = & ::"), "{rest}");
    // In the body of a plain function it is a parameter like others.
    let (errors, _) = split(&expand(
        PLAIN,
        quote!(request = r),
        quote!(
            fn f(r: &str, key: &VerifiedKey) {}
        ),
    ));
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn the_check_is_at_the_top_of_the_body() {
    let item = quote!(
        fn run(&self, request: &R, n: u8) -> Result<(), E> {
            #![allow(x)]
            body(n)
        }
    );
    let wanted = quote!(
        fn run(&self, request: &R, n: u8) -> Result<(), E> {
            #![allow(x)]
            let who = match other::keys::__private::authorize_with::<
                other::keys::__private::Any<(
                    other::keys::__private::Perm<'a'>,
                    other::keys::__private::PermExpr<
                        { other::keys::__private::chunk((B).as_str(), 0) },
                        { other::keys::__private::chunk((B).as_str(), 1) },
                        { other::keys::__private::chunk((B).as_str(), 2) },
                        { other::keys::__private::chunk((B).as_str(), 3) },
                    >,
                )>,
                _,
            >(&request, &self.keys)
            {
                ::core::result::Result::Ok(__apikey_key) => __apikey_key,
                ::core::result::Result::Err(__apikey_rejection) => {
                    return other::keys::__private::reject(__apikey_rejection);
                }
            };
            body(n)
        }
    );
    let args = quote!(any("a", B), store = self.keys, key = who, crate = other::keys);
    assert_eq!(bare(expand(NO_FRAMEWORK, args, item)), bare(wanted));
}

#[test]
fn a_guarded_function_is_listed_where_the_facade_lists_them() {
    const LISTED: Switches = Switches { inventory: true, ..PLAIN };
    for (args, item) in [
        (
            quote!(perm = "a"),
            quote!(
                async fn list<T>(t: T) {}
            ),
        ),
        (
            quote!(perm = "a", request = r),
            quote!(
                fn list<T>(&self, r: T) -> Result<(), T> {}
            ),
        ),
    ] {
        let expanded = expand(LISTED, args, item);
        let entry = quote!(::apikey::__private::submit! { ::apikey::__private::guarded(
        ::core::module_path!(), "list", ::core::line!(),
        ::core::option::Option::Some(const { &::apikey::Need::Permission("a") }), false, ::apikey::GuardedTenant::Any, 1) });
        assert!(bare(&expanded).contains(&bare(entry)), "{expanded}");
    }
    // An item in a body cannot name the `Self` around it.
    let method = quote!(
        fn list(&self, r: R) -> Result<(), E> {}
    );
    let expanded = expand(LISTED, quote!(any("a", Self::PERM)), method);
    assert!(bare(&expanded).contains("core::line!(),::core::option::Option::None,false,"), "{expanded}");
    assert!(
        !expand(
            PLAIN,
            quote!(),
            quote!(
                fn list() {}
            )
        )
        .contains("submit")
    );
}

#[test]
fn a_tenant_is_checked_with_the_key() {
    let item = quote!(
        fn run(r: &R, tenant: String) -> Result<(), E> {
            body(tenant)
        }
    );
    let check = |args| bare(expand(NO_FRAMEWORK, args, item.clone()));
    let named = check(quote!(perm = "a", request = r, tenant = tenant));
    let call = quote!(::apikey::__private::authorize_in::<::apikey::__private::Perm<'a'>, _>(
        &r,
        ::apikey::__private::name_of_tenant(&tenant)
    ));
    assert!(named.contains(&bare(call)), "{named}");
    let with_store = check(quote!(perm = "a", request = r, store = KEYS, tenant = "acme"));
    assert!(with_store.contains("authorize_in_with::<"), "{with_store}");
    assert!(with_store.contains("(&r,&KEYS,::apikey::__private::name_of_tenant(&\"acme\"))"), "{with_store}");
    // `none` is a word of the attribute, and not a variable; in parentheses it is one.
    let none = check(quote!(perm = "a", request = r, tenant = none));
    assert!(none.contains("authorize::<::apikey::NoTenant<::apikey::__private::Perm<'a'>>,_>(&r)"), "{none}");
    assert!(check(quote!(request = r, tenant = (none))).contains("name_of_tenant(&(none))"));
    assert!(check(quote!(request = r, tenant = none.name)).contains("name_of_tenant(&none.name)"));
    let handler = quote!(
        async fn list() {}
    );
    let none = bare(expand(PLAIN, quote!(perm = "a", tenant = none), handler));
    assert!(none.contains("::apikey::RequireApiKey<::apikey::NoTenant<::apikey::__private::Perm<'a'>>>"), "{none}");
}

#[test]
fn a_body_that_cannot_be_parsed_is_left_as_it_is() {
    for body in [quote!(let owner = key.), quote!(fn struct => ; = let), quote!(match key { None => } else ..= )] {
        let expanded = expand(PLAIN, quote!(perm = "a:b"), quote!(async fn list(key: VerifiedKey) { #body }));
        let (errors, rest) = split(&expanded);
        assert_eq!(errors, [""; 0]);
        assert!(rest.ends_with(&format!("; {body} }}")), "{rest}");
    }
}

#[test]
fn one_mistake_is_one_error_and_the_function_stays() {
    for (args, mistakes) in [
        (quote!(perm = "A:b"), 1),
        (quote!(perm = "A:b", stor = x), 2),
        (quote!(perm = , key = who), 1),
        (quote!(any("A", "B", "c")), 2),
        (quote!(perm = "a" "b"), 1),
        (quote!(, perm = "a"), 1),
        (quote!(key = ), 1),
        (quote!(+ + +, key = who), 1),
    ] {
        let expanded = expand(
            PLAIN,
            args.clone(),
            quote!(
                async fn list(key: VerifiedKey) {
                    key
                }
            ),
        );
        let (errors, rest) = split(&expanded);
        let also = usize::from(args.to_string().contains("key = who"));
        assert_eq!(errors.len(), mistakes + also, "{args}: {errors:?}");
        assert!(rest.starts_with("async fn list (__require_api_key :"), "{rest}");
    }
}

#[test]
fn a_key_is_not_taken_for_what_carries_it() {
    let item = quote!(
        async fn orders(key: VerifiedKey, body: Body) -> String {}
    );
    let (errors, _) = split(&expand(NO_FRAMEWORK, quote!(perm = "orders:read"), item));
    let [error] = &errors[..] else { panic!("{errors:?}") };
    assert!(error.contains("needs the feature of its web framework: `apikey = { features = [\"axum\"] }`"), "{error}");
    assert!(error.ends_with("as in `request = body`"), "{error}");
}

#[test]
fn without_a_framework_the_source_must_be_named() {
    let item = quote!(
        fn run(_: u8, headers: &HeaderMap) -> Result<(), E> {
            who
        }
    );
    let (errors, rest) = split(&expand(NO_FRAMEWORK, quote!(key = who), item));
    assert_eq!(
        errors,
        [
            "where does the API key come from? Name the parameter that carries the request, as in `request = headers`, or \
          enable the feature of a web framework: `apikey = { features = [\"axum\"] }`"
        ]
    );
    assert_eq!(
        rest,
        quote!(
            fn run(_: u8, headers: &HeaderMap) -> Result<(), E> {
                let who = ::apikey::__private::absent();
                who
            }
        )
        .to_string()
    );
    // One missing source gives one error, whatever else needs it.
    let (errors, _) = split(&expand(
        NO_FRAMEWORK,
        quote!(store = KEYS),
        quote!(
            fn run(headers: &HeaderMap) {}
        ),
    ));
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("`store = ...` needs `request = ...`"));
}

#[test]
fn below_a_route_attribute_is_too_late() {
    let handler = quote!(
        async fn list(n: u8) {}
    );
    let (errors, rest) = split(&expand(ROUTES, quote!(), handler.clone()));
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("put `#[require_api_key]` above the route attribute"), "{errors:?}");
    assert_eq!(rest, handler.to_string());
    for built_in in [quote!(#[allow(unused)]), quote!(#[doc = "x"]), quote!(#[rustfmt::skip]), quote!(#[cfg(x)])] {
        let (errors, _) = split(&expand(ROUTES, quote!(), quote!(#built_in #handler)));
        assert_eq!(errors.len(), 1, "{built_in}");
    }
    // A route attribute follows, or a framework without one is enabled, too.
    for (switches, item) in [
        (ROUTES, quote!(#[get("/")] #handler)),
        (ROUTES, quote!(#[allow(unused)] #[poem::handler] #handler)),
        (BOTH, handler.clone()),
    ] {
        let (errors, rest) = split(&expand(switches, quote!(), item));
        assert_eq!(errors, [""; 0]);
        assert!(rest.contains("list (__require_api_key"), "{rest}");
    }
}

#[test]
fn items_that_are_no_functions_stay() {
    for (item, message) in [
        (
            quote!(
                struct Order;
            ),
            "`#[require_api_key]` goes on a function or a method",
        ),
        (
            quote!(
                #[derive(Debug)]
                pub enum E {
                    A,
                }
            ),
            "`#[require_api_key]` goes on a function or a method",
        ),
        (quote!(impl Order { fn id(&self) {} }), "`#[require_api_key]` goes on a function or a method"),
        (
            quote!(
                const F: fn() = main;
            ),
            "`#[require_api_key]` goes on a function or a method",
        ),
        (
            quote!(
                extern "C" {
                    fn f();
                }
            ),
            "`#[require_api_key]` goes on a function or a method",
        ),
        (
            quote!(
                fn list(&self);
            ),
            "`list` has no body to protect; put it on the implementation",
        ),
        (
            quote!(
                pub const fn one() -> u8 {
                    1
                }
            ),
            "a `const fn` cannot check an API key",
        ),
        (quote!(), "`#[require_api_key]` goes on a function or a method"),
    ] {
        let (errors, rest) = split(&expand(PLAIN, quote!(perm = "a:b"), item.clone()));
        assert_eq!(errors, [message]);
        assert_eq!(rest, item.to_string());
    }
}

#[test]
fn every_qualifier_of_a_function() {
    for item in [
        quote!(
            unsafe extern "C" fn f() {}
        ),
        quote!(
            pub async unsafe fn f() {}
        ),
        quote!(default fn f() {}),
        quote!(
            extern "C" fn f() {}
        ),
    ] {
        let (errors, rest) = split(&expand(PLAIN, quote!(), item));
        assert_eq!(errors, [""; 0]);
        assert!(rest.contains("fn f (__require_api_key : :: apikey :: RequireApiKey < :: apikey :: __private :: Auth"));
    }
}

#[test]
fn invisible_groups_are_opened() {
    fn invisible(tokens: TokenStream) -> TokenStream {
        TokenTree::Group(Group::new(Delimiter::None, tokens)).into()
    }
    let body = invisible(invisible(quote!({ body })));
    let key = invisible(quote!(VerifiedKey));
    let permission = invisible(quote!("a:b"));
    let item = invisible(quote!(fn list(key: #key) #body));
    let expanded = expand(PLAIN, quote!(perm = #permission), item);
    assert!(expanded.contains("Perm < 'a' , ':' , 'b' >"), "{expanded}");
    assert!(expanded.contains("into_key (__require_api_key)"), "{expanded}");
    assert!(expanded.ends_with("body }"), "{expanded}");
}

#[test]
fn a_boxed_future_of_async_trait_is_returned_as_one() {
    let item = quote!(
        fn call<'life0, 'async_trait>(&'life0 self, r: R) -> Pin<Box<dyn Future<Output = u8> + Send + 'async_trait>> {
            Box::pin(async move { 1 })
        }
    );
    let expanded = expand(PLAIN, quote!(on_reject = f), item);
    let wanted = quote!(return ::apikey::__private::boxed(::apikey::__private::reject_with(f, __apikey_rejection)););
    assert!(expanded.contains(&wanted.to_string()), "{expanded}");
}

#[test]
fn the_guard_is_not_the_parameter_too_many() {
    let allowed = |count: usize, key: TokenStream| {
        let params = (0..count).map(|_| quote!(_: u8));
        expand(PLAIN, quote!(), quote!(fn f(#(#params,)* #key) {})).contains("too_many_arguments")
    };
    assert!(!allowed(6, quote!()));
    assert!(allowed(7, quote!()));
    assert!(!allowed(8, quote!()));
    // The guard replaces the key's own parameter, so the count stays.
    assert!(!allowed(6, quote!(key: VerifiedKey)));
    assert!(!allowed(7, quote!(key: VerifiedKey)));
}

#[test]
fn the_type_of_a_requirement() {
    let expanded = |tokens| bare(perm_type(tokens));
    assert_eq!(expanded(quote!("a")), bare(quote!(::apikey::__private::Perm<'a'>)));
    assert_eq!(
        expanded(quote!(all("a", any("b")), crate = keys)),
        bare(quote!(
            keys::__private::All<(keys::__private::Perm<'a'>, keys::__private::Any<(keys::__private::Perm<'b'>)>)>
        ))
    );
    for wrong in [quote!(), quote!("A"), quote!("a", "b"), quote!(crate = keys), quote!("a" "b")] {
        let expanded = expanded(wrong.clone());
        assert_eq!(expanded.matches("compile_error").count(), 1, "{wrong}: {expanded}");
    }
}
