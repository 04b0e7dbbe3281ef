//! What user code may take and give.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, FnArg, GenericArgument, Path, PathArguments, ReturnType, Signature, Type};

/// Names of the published SDK for bytes that nobody has read.
const RAW: [&str; 2] = ["TaskInput", "TaskOutput"];

/// What an entrypoint takes.
#[derive(Debug)]
pub(crate) struct Entrypoint {
    takes_instance: bool,
    message: Option<Type>,
}

impl Entrypoint {
    /// Reads the signature of an entrypoint; `of_method` if it belongs to an instance.
    pub(crate) fn read(signature: &Signature, of_method: bool) -> syn::Result<Self> {
        check_async(signature, "an entrypoint")?;
        let mut arguments = signature.inputs.iter();
        if of_method {
            check_receiver(signature, arguments.next())?;
        }
        let mut entrypoint = Self { takes_instance: false, message: None };
        for argument in arguments {
            entrypoint.take(type_of(argument)?)?;
        }
        check_result(signature)?;
        Ok(entrypoint)
    }

    fn take(&mut self, taken: &Type) -> syn::Result<()> {
        if let Type::Reference(reference) = taken {
            let text = "an entrypoint takes its arguments by value: the task ends with it; remove the `&`";
            return Err(Error::new(reference.span(), text));
        }
        if last_name(taken).is_some_and(|name| name == "FlameInstance") {
            if self.takes_instance || self.message.is_some() {
                return Err(Error::new(taken.span(), "FlameInstance is the first argument, once, or none"));
            }
            self.takes_instance = true;
            return Ok(());
        }
        refuse_raw(taken)?;
        if self.message.is_some() {
            let text = "an entrypoint takes at most one message, after an optional FlameInstance; put what belongs \
                        together into one struct";
            return Err(Error::new(taken.span(), text));
        }
        self.message = Some(taken.clone());
        Ok(())
    }

    /// The call of `function` with what `invoke` of the trait has at hand, as an expression of type
    /// `Result<Option<Bytes>, FlameError>` in async code.
    pub(crate) fn call(&self, krate: &Path, function: &TokenStream) -> TokenStream {
        let (mut before, mut arguments) = (TokenStream::new(), TokenStream::new());
        if self.takes_instance {
            arguments.extend(quote!(instance,));
        }
        if let Some(message) = &self.message {
            // Errors point at the message; names mean what they mean in the rest of the expansion.
            before = quote_spanned! {message.span().resolved_at(Span::call_site())=>
                let message = <#message as #krate::codec::FromTaskInput>::from_task_input(input)?;
            };
            arguments.extend(quote!(message,));
        }
        quote! {
            let (_, _) = (&instance, &input);
            #before
            let output = #function(#arguments).await?;
            #krate::codec::IntoTaskOutput::into_task_output(output)
        }
    }
}

/// Reads the signature of `enter`: whether it takes a FlameInstance.
pub(crate) fn read_enter(signature: &Signature) -> syn::Result<bool> {
    check_async(signature, "`enter`")?;
    let mut arguments = signature.inputs.iter();
    check_receiver(signature, arguments.next())?;
    let Some(argument) = arguments.next() else { return Ok(false) };
    let is_instance = last_name(type_of(argument)?).is_some_and(|name| name == "FlameInstance");
    match arguments.next() {
        None if is_instance => Ok(true),
        _ => Err(Error::new(argument.span(), "`enter` takes `&self` and, if it likes, one FlameInstance")),
    }
}

/// Checks the signature of `leave`.
pub(crate) fn read_leave(signature: &Signature) -> syn::Result<()> {
    check_async(signature, "`leave`")?;
    let mut arguments = signature.inputs.iter();
    check_receiver(signature, arguments.next())?;
    match arguments.next() {
        None => Ok(()),
        Some(argument) => Err(Error::new(argument.span(), "`leave` takes `&self` and nothing else")),
    }
}

fn check_async(signature: &Signature, what: &str) -> syn::Result<()> {
    if signature.asyncness.is_none() {
        return Err(Error::new(signature.fn_token.span(), format!("{what} is async: write `async fn`")));
    }
    if !signature.generics.params.is_empty() {
        let text = format!("{what} has no generic parameters: what travels must have one type");
        return Err(Error::new(signature.generics.span(), text));
    }
    if signature.unsafety.is_some() || signature.abi.is_some() || signature.variadic.is_some() {
        return Err(Error::new(signature.span(), format!("{what} is a plain `async fn`")));
    }
    Ok(())
}

fn check_receiver(signature: &Signature, first: Option<&FnArg>) -> syn::Result<()> {
    let text = "a method of an instance takes `&self`: its tasks may run side by side; keep what changes in a Mutex \
                or an atomic";
    match first {
        Some(FnArg::Receiver(receiver))
            if receiver.reference.is_some() && receiver.mutability.is_none() && receiver.colon_token.is_none() =>
        {
            Ok(())
        }
        Some(argument) => Err(Error::new(argument.span(), text)),
        None => Err(Error::new(signature.ident.span(), text)),
    }
}

fn check_result(signature: &Signature) -> syn::Result<()> {
    let text = "an entrypoint returns Result<T, FlameError>; T is a message, an Option of one, or ()";
    let ReturnType::Type(_, returned) = &signature.output else {
        return Err(Error::new(signature.ident.span(), text));
    };
    let Type::Path(path) = returned.as_ref() else { return Err(Error::new(returned.span(), text)) };
    match path.path.segments.last() {
        Some(last) if last.ident == "Result" => match &last.arguments {
            PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
                Some(GenericArgument::Type(output)) => refuse_raw(output),
                _ => Ok(()),
            },
            _ => Ok(()),
        },
        _ => Err(Error::new(returned.span(), text)),
    }
}

fn type_of(argument: &FnArg) -> syn::Result<&Type> {
    match argument {
        FnArg::Typed(typed) => Ok(&typed.ty),
        FnArg::Receiver(receiver) => {
            let text = "a method becomes an entrypoint inside an impl block that has #[instance]; write it there";
            Err(Error::new(receiver.span(), text))
        }
    }
}

fn refuse_raw(used: &Type) -> syn::Result<()> {
    let inner = option_of(used).unwrap_or(used);
    match last_name(inner) {
        Some(name) if RAW.iter().any(|raw| name == raw) => {
            let text = format!(
                "an entrypoint has messages, not {name}: use Bytes for what has no type, or implement FlameService"
            );
            Err(Error::new(used.span(), text))
        }
        _ => Ok(()),
    }
}

/// The `T` of an `Option<T>`.
fn option_of(used: &Type) -> Option<&Type> {
    let Type::Path(path) = used else { return None };
    let last = path.path.segments.last().filter(|last| last.ident == "Option")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first() {
        Some(GenericArgument::Type(inner)) => Some(inner),
        _ => None,
    }
}

fn last_name(used: &Type) -> Option<&syn::Ident> {
    match used {
        Type::Path(path) => path.path.segments.last().map(|last| &last.ident),
        _ => None,
    }
}
