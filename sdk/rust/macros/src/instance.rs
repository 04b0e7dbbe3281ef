//! `#[instance]`: a type with state as a service.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::Parser;
use syn::{Error, Ident, ImplItem, ImplItemFn, ItemImpl, Path};

use crate::options::{crate_path, default_crate, name};
use crate::signature::{Entrypoint, read_enter, read_leave};

/// What stands in the parentheses.
struct Options {
    krate: Path,
    entrypoint: Option<Ident>,
    enter: Option<Ident>,
    leave: Option<Ident>,
}

pub(crate) fn expand(options: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let Options { krate, entrypoint, enter, leave } = read_options(options)?;
    let mut block: ItemImpl = syn::parse2(item)
        .map_err(|error| Error::new(error.span(), "#[instance] belongs on the `impl` block of a type"))?;
    if let Some((_, of, _)) = &block.trait_ {
        return Err(Error::new_spanned(of, "#[instance] belongs on an impl block of the type itself, not of a trait"));
    }
    let entrypoint = find_entrypoint(&mut block, entrypoint)?;
    let invoke = {
        let method = method(&block, &entrypoint)?;
        let of_message = Entrypoint::read(&method.sig, true)?;
        of_message.call(&krate, &quote!(self.#entrypoint))
    };
    let enter = hook(&block, enter, "enter")?.map(|enter| expand_enter(&krate, enter)).transpose()?;
    let leave = hook(&block, leave, "leave")?.map(|leave| expand_leave(&krate, leave)).transpose()?;
    let (generics, _, bounds) = block.generics.split_for_impl();
    let owner = &block.self_ty;
    Ok(quote! {
        #block

        impl #generics #krate::service::Entrypoint for #owner #bounds {
            fn invoke(
                &self,
                instance: #krate::FlameInstance,
                input: ::core::option::Option<#krate::__private::Bytes>,
            ) -> #krate::__private::Invocation<'_> {
                ::std::boxed::Box::pin(async move { #invoke })
            }
            #enter
            #leave
        }

        impl #generics #krate::IntoFlameInstance for #owner #bounds {
            type Service = #krate::service::InstanceService<Self>;

            fn into_flame_instance(self) -> Self::Service {
                #krate::service::InstanceService::new(self)
            }
        }
    })
}

/// The name of the method that runs tasks; its mark is taken away, as nobody would understand it here.
fn find_entrypoint(block: &mut ItemImpl, named: Option<Ident>) -> syn::Result<Ident> {
    let mut marked = Vec::new();
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        let is_mark = |path: &Path| path.segments.last().is_some_and(|last| last.ident == "entrypoint");
        let marks = method.attrs.extract_if(.., |attribute| is_mark(attribute.path())).count();
        if marks > 0 {
            marked.push(method.sig.ident.clone());
        }
    }
    let only_one = "an instance has exactly one entrypoint: mark one method with #[entrypoint]";
    match (marked.as_slice(), named) {
        ([one], None) => Ok(one.clone()),
        ([], Some(named)) => Ok(named),
        ([], None) => {
            let text = format!("{only_one}, or name it: #[instance(entrypoint = \"method\")]");
            Err(Error::new_spanned(&block.self_ty, text))
        }
        ([_, another, ..], None) => Err(Error::new(another.span(), only_one)),
        ([marked, ..], Some(_)) => {
            Err(Error::new(marked.span(), "the entrypoint is both marked and named; one of them is enough"))
        }
    }
}

fn find<'a>(block: &'a ItemImpl, name: &Ident) -> Option<&'a ImplItemFn> {
    block.items.iter().find_map(|item| match item {
        ImplItem::Fn(method) if method.sig.ident == *name => Some(method),
        _ => None,
    })
}

fn method<'a>(block: &'a ItemImpl, name: &Ident) -> syn::Result<&'a ImplItemFn> {
    find(block, name).ok_or_else(|| Error::new(name.span(), format!("this impl block has no method `{name}`")))
}

/// The method of a hook: the one that was named, which must be there, or the one that has its usual name, if any.
fn hook<'a>(block: &'a ItemImpl, named: Option<Ident>, usual: &str) -> syn::Result<Option<&'a ImplItemFn>> {
    match named {
        Some(name) => method(block, &name).map(Some),
        None => Ok(find(block, &Ident::new(usual, Span::call_site()))),
    }
}

fn expand_enter(krate: &Path, enter: &ImplItemFn) -> syn::Result<TokenStream> {
    let name = &enter.sig.ident;
    let argument = if read_enter(&enter.sig)? { quote!(instance) } else { TokenStream::new() };
    Ok(quote_spanned! {name.span().resolved_at(Span::call_site())=>
        fn enter(&self, instance: #krate::FlameInstance) -> #krate::__private::Step<'_> {
            ::std::boxed::Box::pin(async move {
                let _ = &instance;
                self.#name(#argument).await?;
                ::core::result::Result::<(), #krate::FlameError>::Ok(())
            })
        }
    })
}

fn expand_leave(krate: &Path, leave: &ImplItemFn) -> syn::Result<TokenStream> {
    let name = &leave.sig.ident;
    read_leave(&leave.sig)?;
    Ok(quote_spanned! {name.span().resolved_at(Span::call_site())=>
        fn leave(&self) -> #krate::__private::Step<'_> {
            ::std::boxed::Box::pin(async move {
                self.#name().await?;
                ::core::result::Result::<(), #krate::FlameError>::Ok(())
            })
        }
    })
}

fn read_options(options: TokenStream) -> syn::Result<Options> {
    let mut read = Options { krate: default_crate(), entrypoint: None, enter: None, leave: None };
    let parser = syn::meta::parser(|meta| {
        let key = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
        match key.as_str() {
            "crate" => read.krate = crate_path(&meta)?,
            "entrypoint" => read.entrypoint = Some(name(&meta)?),
            "enter" => read.enter = Some(name(&meta)?),
            "leave" => read.leave = Some(name(&meta)?),
            "debug" => return Err(meta.error("`debug` is reserved: a service is run by a worker, see `flmctl dev`")),
            _ => {
                return Err(meta.error(
                    "#[instance] knows `entrypoint = \"method\"`, `enter = \"method\"`, `leave = \"method\"` and \
                     `crate = path`",
                ));
            }
        }
        Ok(())
    });
    parser.parse2(options)?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal;

    fn block() -> TokenStream {
        quote! {
            impl<T: Send> Counter<T> {
                async fn enter(&self, instance: FlameInstance) -> Result<(), FlameError> { x(instance) }
                #[flame::entrypoint]
                async fn add(&self, instance: FlameInstance, n: Number) -> Result<Number, FlameError> { x(instance, n) }
                async fn goodbye(&self) -> Result<(), FlameError> { x() }
                fn other(&mut self) {}
            }
        }
    }

    #[test]
    fn a_type_gets_what_a_service_needs_and_keeps_its_methods() {
        let text = expand(quote!(leave = "goodbye"), block()).unwrap();
        syn::parse2::<syn::File>(text.clone()).unwrap();
        let text = text.to_string();
        for part in [
            "impl < T : Send > :: flame_sdk :: service :: Entrypoint for Counter < T >",
            "self . add (instance , message ,)",
            "self . enter (instance)",
            "self . goodbye ()",
            "fn other",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("# ["), "the mark is gone: {text}");
    }

    #[test]
    fn hooks_are_optional_and_the_entrypoint_may_be_named() {
        let block = quote!(impl S { async fn run(&self) -> Result<(), FlameError> { x() } });
        let text = expand(quote!(entrypoint = "run", crate = flame), block).unwrap().to_string();
        assert!(text.contains("self . run ()") && !text.contains("fn enter") && !text.contains("fn leave"), "{text}");
        assert!(text.contains("for S") && text.contains("flame :: FlameInstance"), "{text}");
    }

    #[test]
    fn what_is_no_instance_is_told_what_to_be() {
        let one = |method: TokenStream| quote!(impl S { #method });
        let fine = quote!(
            #[entrypoint]
            async fn f(&self) -> Result<(), E> {
                x()
            }
        );
        let cases = [
            (
                quote!(),
                one(quote!(
                    async fn f(&self) -> Result<(), E> {
                        x()
                    }
                )),
                "exactly one entrypoint",
            ),
            (quote!(), quote!(impl S { #fine #[entrypoint] async fn g(&self) {} }), "exactly one entrypoint"),
            (quote!(entrypoint = "f"), one(fine.clone()), "marked and named"),
            (quote!(entrypoint = "g"), one(quote!()), "no method `g`"),
            (quote!(enter = "g"), one(fine.clone()), "no method `g`"),
            (quote!(debug = true), one(fine.clone()), "`debug` is reserved"),
            (quote!(name = "x"), one(fine.clone()), "#[instance] knows"),
            (
                quote!(),
                one(quote!(
                    #[entrypoint]
                    async fn f(&mut self) -> Result<(), E> {
                        x()
                    }
                )),
                "takes `&self`",
            ),
            (
                quote!(),
                one(quote!(
                    #[entrypoint]
                    async fn f(self) -> Result<(), E> {
                        x()
                    }
                )),
                "takes `&self`",
            ),
            (
                quote!(),
                one(quote!(
                    #[entrypoint]
                    async fn f() -> Result<(), E> {
                        x()
                    }
                )),
                "takes `&self`",
            ),
            (quote!(), quote!(impl S { #fine fn enter(&self) {} }), "`enter` is async"),
            (quote!(), quote!(impl S { #fine async fn enter(&self, n: u8) {} }), "one FlameInstance"),
            (quote!(), quote!(impl S { #fine async fn leave(&self, n: u8) {} }), "nothing else"),
            (quote!(), quote!(impl Tr for S { #fine }), "not of a trait"),
            (
                quote!(),
                quote!(
                    struct S;
                ),
                "`impl` block",
            ),
        ];
        for (options, item, expected) in cases {
            let shown = item.to_string();
            let text = refusal(expand(options, item));
            assert!(text.contains(expected), "{shown}: {text}");
        }
    }
}
