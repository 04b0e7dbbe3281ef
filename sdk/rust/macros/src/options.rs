//! What stands in the parentheses of a macro.

use syn::meta::ParseNestedMeta;
use syn::{Ident, LitStr, Path};

/// Where the items of `flame-sdk` are, unless the user says otherwise.
pub(crate) fn default_crate() -> Path {
    syn::parse_quote!(::flame_sdk)
}

/// Reads the path of `crate = path`.
pub(crate) fn crate_path(meta: &ParseNestedMeta<'_>) -> syn::Result<Path> {
    Path::parse_mod_style(meta.value()?)
}

/// Reads the name of `hook = "name"`.
pub(crate) fn name(meta: &ParseNestedMeta<'_>) -> syn::Result<Ident> {
    let text: LitStr = meta.value()?.parse()?;
    text.parse().map_err(|_| syn::Error::new(text.span(), "this is not the name of a method"))
}
