//! `#[derive(FlameMessage)]`: a type as a payload.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Path};

use crate::options::{crate_path, default_crate};

pub(crate) fn expand(item: TokenStream) -> syn::Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    if let Data::Union(of) = &input.data {
        return Err(Error::new(of.union_token.span, "a union has no encoding; use a struct or an enum"));
    }
    if let Some(lifetime) = input.generics.lifetimes().next() {
        let text = "a message owns what it holds: it outlives the bytes it was read from; remove the lifetime";
        return Err(Error::new_spanned(lifetime, text));
    }
    let (krate, codec) = read_options(&input)?;
    let codec = match codec {
        None => quote!(#krate::codec::Json),
        Some(path) if path.is_ident("Json") || path.is_ident("MessagePack") => quote!(#krate::codec::#path),
        Some(path) => quote!(#path),
    };
    let name = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    let mut bounds = bounds.cloned().unwrap_or_else(|| syn::parse_quote!(where));
    // Bounds on the parameters alone would not say what serde's own derives ask of them.
    if !input.generics.params.is_empty() {
        bounds.predicates.push(syn::parse_quote! {
            #name #arguments: #krate::__private::Serialize + #krate::__private::DeserializeOwned
        });
    }
    Ok(quote! {
        impl #generics #krate::FlameMessage for #name #arguments #bounds {
            fn encode(&self) -> ::core::result::Result<#krate::__private::Bytes, #krate::FlameError> {
                <#codec as #krate::codec::Codec>::encode(self)
            }

            fn decode(bytes: #krate::__private::Bytes) -> ::core::result::Result<Self, #krate::FlameError> {
                <#codec as #krate::codec::Codec>::decode(&bytes)
            }
        }

        impl #generics #krate::codec::IntoTaskInput for #name #arguments #bounds {
            fn into_task_input(
                self,
            ) -> ::core::result::Result<::core::option::Option<#krate::__private::Bytes>, #krate::FlameError> {
                #krate::codec::IntoTaskInput::into_task_input(&self)
            }
        }
    })
}

fn read_options(input: &DeriveInput) -> syn::Result<(Path, Option<Path>)> {
    let (mut krate, mut codec) = (default_crate(), None);
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("flame")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("crate") {
                krate = crate_path(&meta)?;
            } else if meta.path.is_ident("codec") {
                codec = Some(Path::parse_mod_style(meta.value()?)?);
            } else {
                return Err(meta.error("#[flame(…)] knows `codec = Json`, `codec = MessagePack` and `crate = path`"));
            }
            Ok(())
        })?;
    }
    Ok((krate, codec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal;

    fn expanded(item: TokenStream) -> String {
        let text = expand(item).unwrap();
        syn::parse2::<syn::File>(text.clone()).unwrap();
        text.to_string()
    }

    #[test]
    fn json_unless_asked_for_otherwise() {
        assert!(
            expanded(quote!(
                struct A {
                    x: u8,
                }
            ))
            .contains("< :: flame_sdk :: codec :: Json as")
        );
        let text = expanded(quote!(
            #[flame(codec = MessagePack, crate = flame)]
            enum A {
                B,
            }
        ));
        assert!(text.contains("< flame :: codec :: MessagePack as flame :: codec :: Codec >"), "{text}");
        let text = expanded(quote!(
            #[flame(codec = crate::Mine)]
            struct A;
        ));
        assert!(text.contains("< crate :: Mine as"), "{text}");
    }

    #[test]
    fn generic_messages_ask_for_what_their_fields_need() {
        let text = expanded(quote!(
            struct A<T>
            where
                T: Copy,
            {
                x: T,
            }
        ));
        assert!(
            text.contains("impl < T > :: flame_sdk :: FlameMessage for A < T > where T : Copy , A < T > :"),
            "{text}"
        );
    }

    #[test]
    fn what_has_no_encoding_is_refused() {
        assert!(refusal(expand(quote!(union A { x: u8 }))).contains("use a struct or an enum"));
        assert!(
            refusal(expand(quote!(
                struct A<'a> {
                    x: &'a str,
                }
            )))
            .contains("remove the lifetime")
        );
        assert!(
            refusal(expand(quote!(
                #[flame(codex = Json)]
                struct A;
            )))
            .contains("codec = MessagePack")
        );
    }
}
