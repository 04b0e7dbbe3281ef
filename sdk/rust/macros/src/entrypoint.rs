//! `#[entrypoint]`: a function as a service.
//!
//! The function becomes a unit struct of its name, a value that `flame_sdk::run` takes. The function itself stays
//! callable as `name::call`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::Parser;
use syn::{FnArg, Ident, Item, ItemFn, Pat, Path};

use crate::options::{crate_path, default_crate};
use crate::signature::Entrypoint;

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let krate = read_options(options)?;
    match syn::parse2::<Item>(item)? {
        Item::Fn(function) => expand_function(&krate, function),
        other => Err(syn::Error::new_spanned(other, "#[entrypoint] belongs on an `async fn`")),
    }
}

fn expand_function(krate: &Path, function: ItemFn) -> syn::Result<TokenStream> {
    let ItemFn { attrs, vis, mut sig, block } = function;
    let entrypoint = Entrypoint::read(&sig, false)?;
    let name = sig.ident.clone();
    if let Some(argument) = sig.inputs.iter().find(|argument| names(argument, &name)) {
        let text = format!("the function becomes a value named `{name}`, so an argument needs another name");
        return Err(syn::Error::new_spanned(argument, text));
    }
    sig.ident = syn::Ident::new("call", name.span());
    let (docs, attrs): (Vec<_>, Vec<_>) = attrs.into_iter().partition(|attribute| attribute.path().is_ident("doc"));
    let call = entrypoint.call(krate, &quote!(Self::call));
    Ok(quote! {
        #(#docs)*
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug, Default)]
        #vis struct #name;

        impl #name {
            #(#docs)*
            #(#attrs)*
            #vis #sig #block
        }

        impl #krate::service::Entrypoint for #name {
            fn invoke(
                &self,
                instance: #krate::FlameInstance,
                input: ::core::option::Option<#krate::__private::Bytes>,
            ) -> #krate::__private::Invocation<'_> {
                ::std::boxed::Box::pin(async move { #call })
            }
        }

        impl #krate::IntoFlameInstance for #name {
            type Service = #krate::service::InstanceService<Self>;

            fn into_flame_instance(self) -> Self::Service {
                #krate::service::InstanceService::new(self)
            }
        }
    })
}

/// Whether the argument has this name.
fn names(argument: &FnArg, name: &Ident) -> bool {
    let FnArg::Typed(argument) = argument else { return false };
    matches!(argument.pat.as_ref(), Pat::Ident(pattern) if pattern.ident == *name)
}

fn read_options(options: TokenStream) -> syn::Result<Path> {
    let mut krate = default_crate();
    let parser = syn::meta::parser(|meta| {
        if !meta.path.is_ident("crate") {
            return Err(meta.error("#[entrypoint] knows one option: `crate = path`"));
        }
        krate = crate_path(&meta)?;
        Ok(())
    });
    parser.parse2(options)?;
    Ok(krate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal;

    fn refused(item: TokenStream) -> String {
        refusal(expand(TokenStream::new(), item))
    }

    #[test]
    fn a_function_becomes_a_value_of_its_name_and_stays_callable() {
        let item = quote! {
            /// Adds.
            #[must_use]
            pub async fn add(instance: FlameInstance, pair: Pair) -> Result<Sum, FlameError> { todo(instance, pair) }
        };
        let file: syn::File = syn::parse2(expand(quote!(crate = flame), item).unwrap()).unwrap();
        let text = quote!(#file).to_string();
        for part in ["pub struct add", "pub async fn call", "impl flame :: service :: Entrypoint for add", "must_use"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("< Pair as flame :: codec :: FromTaskInput >"), "{text}");
        assert!(text.contains("Self :: call (instance , message ,)"), "{text}");
    }

    #[test]
    fn an_argument_has_another_name_than_the_function() {
        let item = quote!(
            async fn add(add: Pair) -> Result<Sum, FlameError> {
                sum(add)
            }
        );
        let text = refused(item);
        assert!(text.contains("`add`") && text.contains("another name"), "{text}");
    }

    #[test]
    fn everything_but_the_result_may_be_missing() {
        let text = expand(
            TokenStream::new(),
            quote!(
                async fn tick() -> Result<(), FlameError> {
                    Ok(())
                }
            ),
        )
        .unwrap();
        assert!(text.to_string().contains("Self :: call ()"), "{text}");
    }

    #[test]
    fn what_cannot_be_an_entrypoint_is_told_what_to_be() {
        let cases = [
            (
                quote!(
                    fn f(a: A) -> Result<B, FlameError> {
                        x()
                    }
                ),
                "write `async fn`",
            ),
            (
                quote!(
                    async fn f<T>(a: T) -> Result<B, FlameError> {
                        x()
                    }
                ),
                "no generic parameters",
            ),
            (
                quote!(
                    async fn f(a: A, b: B) -> Result<B, FlameError> {
                        x()
                    }
                ),
                "at most one message",
            ),
            (
                quote!(
                    async fn f(a: &A) -> Result<B, FlameError> {
                        x()
                    }
                ),
                "by value",
            ),
            (
                quote!(
                    async fn f(a: A, i: FlameInstance) -> Result<B, FlameError> {
                        x()
                    }
                ),
                "the first argument",
            ),
            (
                quote!(
                    async fn f(i: FlameInstance, j: FlameInstance) -> Result<B, E> {
                        x()
                    }
                ),
                "the first argument",
            ),
            (
                quote!(
                    async fn f(a: A) {
                        x()
                    }
                ),
                "returns Result<T, FlameError>",
            ),
            (
                quote!(
                    async fn f(a: A) -> B {
                        x()
                    }
                ),
                "returns Result<T, FlameError>",
            ),
            (
                quote!(
                    async fn f(a: TaskInput) -> Result<B, E> {
                        x()
                    }
                ),
                "use Bytes",
            ),
            (
                quote!(
                    async fn f(a: Option<TaskInput>) -> Result<B, E> {
                        x()
                    }
                ),
                "use Bytes",
            ),
            (
                quote!(
                    async fn f(a: A) -> Result<Option<apis::TaskOutput>, E> {
                        x()
                    }
                ),
                "use Bytes",
            ),
            (
                quote!(
                    async unsafe fn f(a: A) -> Result<B, E> {
                        x()
                    }
                ),
                "plain `async fn`",
            ),
            (
                quote!(
                    async fn f(&self, a: A) -> Result<B, E> {
                        x()
                    }
                ),
                "#[instance]",
            ),
            (
                quote!(
                    struct S;
                ),
                "belongs on an `async fn`",
            ),
        ];
        for (item, expected) in cases {
            let shown = item.to_string();
            let text = refused(item);
            assert!(text.contains(expected), "{shown}: {text}");
        }
        let options = expand(
            quote!(name = "x"),
            quote!(
                async fn f() -> Result<(), E> {
                    x()
                }
            ),
        );
        assert!(refusal(options).contains("crate = path"));
    }
}
