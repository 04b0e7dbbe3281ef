//! `flmctl deploy`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use flame_sdk::FlameError;
use flame_sdk::model::{ApplicationSpec, Environment, Schema, State};
use flame_sdk::packages::PackageStore;
use flame_types::{AppName, Shim};

use super::cache_endpoint::CacheEndpoint;
use super::{Context, GlobalArgs};
use crate::deploy::{Detected, Package, Source, Wanted, detect, pack};
use crate::exit::{Exit, Failure};
use crate::manifest::parse_shim;
use crate::output::note;
use crate::render::{Deployment, Format};

/// Digits of the checksum in the name of a package (published).
const DIGITS_IN_NAME: usize = 16;

/// How a deployment is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DeployFormat {
    /// In lines.
    #[default]
    Summary,
    /// The application as it is registered, and its package.
    Yaml,
    /// The same as JSON.
    Json,
}

impl From<DeployFormat> for Format {
    fn from(format: DeployFormat) -> Self {
        match format {
            DeployFormat::Summary => Self::Table,
            DeployFormat::Yaml => Self::Yaml,
            DeployFormat::Json => Self::Json,
        }
    }
}

/// Flags of `flmctl deploy`.
#[derive(Clone, Debug, Args)]
pub struct DeployArgs {
    /// Name of the application; one of this name that has no open sessions is replaced
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// What is deployed: a folder, a .tar.gz or .tgz, or a program
    #[arg(long, value_name = "PATH")]
    pub application: PathBuf,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How to print
    #[arg(short, long, visible_alias = "output-format", value_enum, default_value_t)]
    pub output: DeployFormat,
    /// Where the package goes
    #[command(flatten)]
    pub cache: CacheEndpoint,
    /// How its service is run: Host
    #[arg(long, value_name = "SHIM")]
    pub shim: Option<String>,
    /// Container image, for shims that use one
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// For people, too; may be given several times
    #[arg(long = "label", value_name = "LABEL")]
    pub labels: Vec<String>,
    /// What starts the service; found in the package when not given
    #[arg(long, value_name = "COMMAND")]
    pub command: Option<String>,
    /// An argument of it; may be given several times
    #[arg(long = "argument", value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub arguments: Vec<String>,
    /// A variable of its environment; may be given several times
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub environments: Vec<Environment>,
    /// The folder in which it runs
    #[arg(long, value_name = "DIR")]
    pub working_directory: Option<String>,
    /// Most executors of all its sessions together
    #[arg(long, value_name = "NUMBER")]
    pub max_instances: Option<u32>,
    /// Seconds for which an idle executor keeps its session
    #[arg(long, value_name = "SECONDS")]
    pub delay_release: Option<u32>,
    /// How the package is installed: python or binary; found out when not given
    #[arg(long, value_name = "INSTALLER")]
    pub installer: Option<String>,
    /// JSON Schema of what its tasks take
    #[arg(long, value_name = "SCHEMA")]
    pub schema_input: Option<String>,
    /// JSON Schema of what its tasks give
    #[arg(long, value_name = "SCHEMA")]
    pub schema_output: Option<String>,
    /// JSON Schema of the common data of its sessions
    #[arg(long, value_name = "SCHEMA")]
    pub schema_common_data: Option<String>,
}

pub(super) async fn run(context: &Context, args: DeployArgs, global: &GlobalArgs) -> Result<(), Failure> {
    AppName::parse(&args.name).map_err(|error| Failure::usage(error.to_string()))?;
    let shim = args.shim.as_deref().map_or(Some(Shim::Host), parse_shim);
    let shim = shim.ok_or_else(|| Failure::usage("--shim is not known; write Host, Wasm or Cri"))?;
    let store = args.cache.packages(context, global).await?;
    let source = Source::read(&args.application)?;
    let wanted = Wanted {
        name: args.name.clone(),
        installer: args.installer.clone(),
        command: args.command.clone(),
        arguments: args.arguments.clone(),
    };
    let detected = detect(&source, &wanted)?;
    let package = pack(&source).map_err(|error| Failure::failed(format!("{}: {error}", args.application.display())))?;
    let object = format!("{0}/pkg/{0}-{1}.tar.gz", args.name, &package.sha256[..DIGITS_IN_NAME]);
    let url = match args.dry_run {
        true => store.url(&object),
        false => upload(&store, &object, &package).await?,
    };
    let (name, dry_run, format) = (args.name.clone(), args.dry_run, args.output.into());
    let (input_kind, sha256) = (source.kind, package.sha256.clone());
    // Workers check the content by it, and ask nobody for what they have.
    let spec = spec(args, shim, detected, format!("{url}#sha256={sha256}"));
    if !dry_run {
        register(context, &store, &name, &object, &spec).await?;
    }
    context.show(&Deployment { name, input_kind, object, sha256, dry_run, spec }, format).map(|_| ())
}

async fn upload(store: &PackageStore, object: &str, package: &Package) -> Result<String, Failure> {
    let path = package.path();
    let put = store.put(object, package.bytes, || tokio::fs::File::open(path.clone())).await;
    put.map_err(|error| match error {
        FlameError::Unavailable(_) => Failure::from(error).hint("see that an object cache runs there"),
        error => error.into(),
    })
}

fn spec(args: DeployArgs, shim: Shim, detected: Detected, url: String) -> ApplicationSpec {
    let DeployArgs { schema_input, schema_output, schema_common_data, .. } = args;
    let schema = Schema { input: schema_input, output: schema_output, common_data: schema_common_data };
    let has_schema = schema.input.is_some() || schema.output.is_some() || schema.common_data.is_some();
    ApplicationSpec {
        shim: State::Known(shim),
        description: args.description,
        labels: args.labels,
        image: args.image,
        command: Some(detected.command),
        arguments: detected.arguments,
        environments: args.environments,
        working_directory: args.working_directory,
        max_instances: args.max_instances,
        delay_release: args.delay_release.map(i64::from),
        schema: has_schema.then_some(schema),
        url: Some(url),
        installer: Some(detected.installer),
        ..ApplicationSpec::default()
    }
}

/// Makes the application, or replaces the one that is there; then nobody needs the package of before.
async fn register(
    context: &Context,
    store: &PackageStore,
    name: &str,
    object: &str,
    spec: &ApplicationSpec,
) -> Result<(), Failure> {
    let connection = &context.connection;
    match connection.register_application(name, spec.clone()).await {
        Err(FlameError::AlreadyExists(_)) => {}
        done => return Ok(done?),
    }
    let before = connection.get_application(name).await?;
    connection.update_application(name, spec.clone()).await.map_err(|error| {
        let failure = Failure::from(error);
        match failure.exit {
            Exit::Conflict => failure.or_hint("close its sessions first; `flmctl list -s` shows them"),
            _ => failure,
        }
    })?;
    if let Some(old) = before.spec.url.as_deref().and_then(|url| own_object(url, name)).filter(|old| old != object)
        && let Err(error) = store.delete(&old).await
    {
        note(&format!("flmctl: the package of before, {old}, stays in the object cache: {error}\n"));
    }
    Ok(())
}

/// The object of a package of this application, if that is what the URL names.
fn own_object(url: &str, name: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let (_, key) = rest.split_once('/')?;
    let key = key.split('#').next().unwrap_or_default();
    let file = key.strip_prefix(name)?.strip_prefix("/pkg/")?;
    let is_ours = matches!(scheme, "grpc" | "grpcs") && !file.is_empty() && !file.contains('/');
    is_ours.then(|| key.to_owned())
}

fn variable(text: &str) -> Result<Environment, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(Environment { name: name.to_owned(), value: value.to_owned() }),
        _ => Err("write it like NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_of_the_application_itself_are_replaced() {
        let own = |url: &str| own_object(url, "app");
        assert_eq!(own("grpc://h:1/app/pkg/app-12.tar.gz#sha256=ab").as_deref(), Some("app/pkg/app-12.tar.gz"));
        for url in
            ["http://h/app/pkg/a.zip", "grpc://h/other/pkg/a.zip", "grpc://h/app/shared/a", "grpc://h/app/pkg/", "x"]
        {
            assert_eq!(own(url), None, "{url}");
        }
    }

    #[test]
    fn variables_have_a_name() {
        let expected = Environment { name: "A".to_owned(), value: "b=c".to_owned() };
        assert_eq!(variable("A=b=c"), Ok(expected));
        assert!(variable("=x").is_err() && variable("A").is_err());
    }
}
