//! Applications: register, get, list, update, unregister, and what is refused.

use std::collections::HashMap;

use chrono::Duration;
use flame_rs::SessionOptions;
use flame_rs::apis::{ApplicationState, Shim};
use flame_rs::client::{ApplicationAttributes, ApplicationSchema};

use crate::check::{Check, Outcome};
use crate::world::{World, explain, refused};
use crate::{check_list, ensure};

pub fn checks() -> Vec<Check> {
    check_list!("applications":
        the_built_in_application_is_there,
        every_attribute_comes_back,
        unset_attributes_get_the_published_defaults,
        a_duplicate_is_refused,
        an_update_replaces_all_attributes,
        an_update_of_an_unknown_application_is_refused,
        an_open_session_blocks_update_and_unregister,
        unregister_removes_it,
        an_unknown_application_is_not_found,
        bad_names_are_refused,
        bad_schemas_are_refused,
        a_relative_working_directory_is_refused,
    )
}

async fn the_built_in_application_is_there(world: &World) -> Outcome {
    let listed = world.connection.list_applications().await.map_err(explain("list"))?;
    for name in ["flmping", "flmexec", "flmrun"] {
        let found = listed.iter().find(|application| application.name == name);
        let found = found.ok_or_else(|| format!("the built-in application {name} is missing"))?;
        ensure!(found.state == ApplicationState::Enabled, "{name} is {}", found.state);
        ensure!(found.attributes.shim == Some(Shim::Host), "{name} has another shim than Host");
    }
    Ok(())
}

fn full_attributes() -> ApplicationAttributes {
    ApplicationAttributes {
        shim: Some(Shim::Host),
        image: Some("registry.example/echo:1".into()),
        description: Some("an echo".into()),
        labels: vec!["one".into(), "two".into()],
        command: Some("/bin/true".into()),
        arguments: vec!["--first".into(), "second".into()],
        environments: HashMap::from([("ONE".into(), "1".into()), ("TWO".into(), "2".into())]),
        working_directory: Some("/tmp".into()),
        max_instances: Some(7),
        delay_release: Some(Duration::seconds(11)),
        schema: Some(ApplicationSchema {
            input: Some(r#"{"type":"string"}"#.into()),
            output: Some(r#"{"type":"integer"}"#.into()),
            common_data: Some(r#"{"type":"object"}"#.into()),
        }),
        url: Some("file:///opt/echo.tar.gz".into()),
        installer: None,
    }
}

async fn every_attribute_comes_back(world: &World) -> Outcome {
    let name = world.register("full", full_attributes()).await?;
    let got = world.connection.get_application(&name).await.map_err(explain("get"))?;
    let (got, want) = (got.attributes, full_attributes());
    ensure!(got.shim == want.shim, "shim");
    ensure!(got.image == want.image, "image {:?}", got.image);
    ensure!(got.description == want.description, "description {:?}", got.description);
    ensure!(got.labels == want.labels, "labels {:?}", got.labels);
    ensure!(got.command == want.command, "command {:?}", got.command);
    ensure!(got.arguments == want.arguments, "arguments {:?}", got.arguments);
    ensure!(got.environments == want.environments, "environments {:?}", got.environments);
    ensure!(got.working_directory == want.working_directory, "working directory {:?}", got.working_directory);
    ensure!(got.max_instances == want.max_instances, "max_instances {:?}", got.max_instances);
    ensure!(got.delay_release == want.delay_release, "delay_release {:?}", got.delay_release);
    ensure!(got.url == want.url, "url {:?}", got.url);
    let (got, want) = (got.schema.ok_or("the schema is lost")?, want.schema.ok_or("no schema")?);
    ensure!(got.input == want.input, "input schema {:?}", got.input);
    ensure!(got.output == want.output, "output schema {:?}", got.output);
    ensure!(got.common_data == want.common_data, "common data schema {:?}", got.common_data);
    Ok(())
}

async fn unset_attributes_get_the_published_defaults(world: &World) -> Outcome {
    let mut bare = crate::world::attributes("/bin/true");
    bare.shim = None;
    bare.delay_release = None;
    let name = world.register("bare", bare).await?;
    let got = world.connection.get_application(&name).await.map_err(explain("get"))?.attributes;
    ensure!(got.shim == Some(Shim::Host), "shim is not Host");
    ensure!(got.max_instances == Some(1_000_000), "max_instances {:?}", got.max_instances);
    ensure!(got.delay_release == Some(Duration::seconds(60)), "delay_release {:?}", got.delay_release);
    ensure!(got.working_directory.is_none(), "working directory {:?}", got.working_directory);
    Ok(())
}

async fn a_duplicate_is_refused(world: &World) -> Outcome {
    let name = world.echo_application("twice").await?;
    let again = world.connection.register_application(name, world.echo_attributes()).await;
    let text = refused("register again", again)?;
    ensure!(text.contains("already exists"), "text: {text}");
    Ok(())
}

async fn an_update_replaces_all_attributes(world: &World) -> Outcome {
    let name = world.register("updated", full_attributes()).await?;
    let mut changed = crate::world::attributes("/bin/false");
    changed.image = Some("other".into());
    world.connection.update_application(name.clone(), changed).await.map_err(explain("update"))?;
    let got = world.connection.get_application(&name).await.map_err(explain("get"))?;
    ensure!(got.state == ApplicationState::Enabled, "state {}", got.state);
    let got = got.attributes;
    ensure!(got.command.as_deref() == Some("/bin/false"), "command {:?}", got.command);
    ensure!(got.image.as_deref() == Some("other"), "image {:?}", got.image);
    ensure!(got.description.is_none(), "the old description is still there: {:?}", got.description);
    ensure!(got.labels.is_empty(), "the old labels are still there: {:?}", got.labels);
    Ok(())
}

async fn an_update_of_an_unknown_application_is_refused(world: &World) -> Outcome {
    let outcome = world.connection.update_application(world.name("nobody"), world.echo_attributes()).await;
    let text = refused("update", outcome)?;
    ensure!(text.contains("not found"), "text: {text}");
    Ok(())
}

async fn an_open_session_blocks_update_and_unregister(world: &World) -> Outcome {
    let name = world.echo_application("busy").await?;
    let session = world.session(SessionOptions::new(name.clone())).await?;
    let text = refused("unregister", world.connection.unregister_application(name.clone()).await)?;
    ensure!(text.contains("open session"), "unregister: {text}");
    let update = world.connection.update_application(name.clone(), world.echo_attributes()).await;
    let text = refused("update", update)?;
    ensure!(text.contains("open session"), "update: {text}");
    session.close().await.map_err(explain("close"))?;
    world.connection.update_application(name.clone(), world.echo_attributes()).await.map_err(explain("update"))?;
    world.connection.unregister_application(name).await.map_err(explain("unregister"))
}

async fn unregister_removes_it(world: &World) -> Outcome {
    let name = world.echo_application("gone").await?;
    world.connection.unregister_application(name.clone()).await.map_err(explain("unregister"))?;
    let text = refused("get", world.connection.get_application(&name).await)?;
    ensure!(text.contains("not found"), "text: {text}");
    let listed = world.connection.list_applications().await.map_err(explain("list"))?;
    ensure!(listed.iter().all(|application| application.name != name), "it is still listed");
    world.connection.register_application(name, world.echo_attributes()).await.map_err(explain("register again"))
}

async fn an_unknown_application_is_not_found(world: &World) -> Outcome {
    let text = refused("get", world.connection.get_application("no-such-application").await)?;
    ensure!(text.contains("not found"), "text: {text}");
    let text = refused("create session", world.connection.create_session_with("no-such-application").await)?;
    ensure!(text.contains("not found"), "text: {text}");
    Ok(())
}

async fn bad_names_are_refused(world: &World) -> Outcome {
    let long = "x".repeat(254);
    for name in ["", "a..b", "../x", "a/b", "a\\b", ".hidden", "-dash", "a b", "ä", long.as_str()] {
        let outcome = world.connection.register_application(name.to_owned(), world.echo_attributes()).await;
        refused(&format!("register {name:?}"), outcome)?;
    }
    let longest = format!("{}-{}", world.name("long"), "x".repeat(253));
    let longest = longest[..253].to_owned();
    world.connection.register_application(longest, world.echo_attributes()).await.map_err(explain("253 characters"))
}

async fn bad_schemas_are_refused(world: &World) -> Outcome {
    let none = ApplicationSchema { input: None, output: None, common_data: None };
    let bad = Some("{\"type\": 5}".to_owned());
    let not_json = Some("{".to_owned());
    for (schema, text) in [
        (ApplicationSchema { input: bad.clone(), ..none.clone() }, "invalid input schema"),
        (ApplicationSchema { input: not_json, ..none.clone() }, "invalid input schema"),
        (ApplicationSchema { output: bad.clone(), ..none.clone() }, "invalid output schema"),
        (ApplicationSchema { common_data: bad, ..none }, "invalid common data schema"),
    ] {
        let mut attributes = world.echo_attributes();
        attributes.schema = Some(schema);
        let outcome = world.connection.register_application(world.name("schema"), attributes).await;
        let said = refused(text, outcome)?;
        ensure!(said.contains(text), "wanted {text:?}, got {said:?}");
    }
    Ok(())
}

async fn a_relative_working_directory_is_refused(world: &World) -> Outcome {
    let mut attributes = world.echo_attributes();
    attributes.working_directory = Some("relative/path".into());
    let outcome = world.connection.register_application(world.name("relative"), attributes.clone()).await;
    let text = refused("register", outcome)?;
    ensure!(text.contains("absolute"), "text: {text}");
    attributes.working_directory = Some(String::new());
    let name = world.register("emptydir", attributes).await?;
    let got = world.connection.get_application(&name).await.map_err(explain("get"))?.attributes;
    ensure!(got.working_directory.is_none(), "an empty directory is stored as {:?}", got.working_directory);
    Ok(())
}
