//! What the API server has, and what it says that it would have.

use std::time::Duration;

use serde_json::{Value, json};

use super::programs::Programs;
use super::{AppError, ObjectId, objects};
use crate::programs::ProgramError;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(120);

/// Who asks: each writes in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// Manifests, by server-side apply.
    Apply,
    /// Helm, which sends the object as it is to be.
    Helm,
}

/// What would become of an object.
pub(super) enum Answer {
    /// This.
    Becomes(Value),
    /// It does not take the change.
    Refused(String),
}

/// Of `wanted`, what is there. Kinds that the server does not know have no objects.
pub(super) async fn live(programs: &Programs, wanted: &[Value]) -> Result<Vec<Value>, AppError> {
    get(programs, wanted, &[]).await
}

/// As [`live`], with who wrote what (`metadata.managedFields`).
pub(super) async fn live_with_managers(programs: &Programs, wanted: &[Value]) -> Result<Vec<Value>, AppError> {
    get(programs, wanted, &["--show-managed-fields"]).await
}

async fn get(programs: &Programs, wanted: &[Value], more: &[&str]) -> Result<Vec<Value>, AppError> {
    const GET: [&str; 6] = ["get", "--ignore-not-found", "--output", "json", "--filename", "-"];
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    match programs.kubectl(&[&GET[..], more].concat(), &list(wanted), CALL).await {
        Ok(answer) => answered(&answer),
        Err(ProgramError::Failed { .. }) if wanted.len() > 1 => {
            let mut found = Vec::new();
            for one in wanted {
                found.extend(Box::pin(get(programs, std::slice::from_ref(one), more)).await?);
            }
            Ok(found)
        }
        Err(ProgramError::Failed { said, .. }) if is_unknown_kind(&said) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// What would become of each of `objects`, by a dry run at the server.
pub(super) async fn dry_run(programs: &Programs, writer: Writer, objects: &[Value]) -> Result<Vec<Answer>, AppError> {
    let mut arguments = match writer {
        Writer::Apply => vec!["apply", "--server-side", "--field-manager", "sealock"],
        Writer::Helm => vec!["replace", "--field-manager", "helm"],
    };
    arguments.extend(["--dry-run=server", "--output", "json", "--filename", "-"]);
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    match programs.kubectl(&arguments, &list(objects), CALL).await {
        Ok(answer) => {
            let answered = answered(&answer)?;
            let becomes = |object: &Value| {
                let id = ObjectId::of(object);
                let mine = answered.iter().find(|one| ObjectId::of(one).is_same(&id)).cloned();
                mine.map_or_else(|| Answer::Refused("the cluster says nothing of it".into()), Answer::Becomes)
            };
            Ok(objects.iter().map(becomes).collect())
        }
        // Which one it was is not said in a way that can be relied on.
        Err(ProgramError::Failed { .. }) if objects.len() > 1 => {
            let mut found = Vec::new();
            for one in objects {
                found.extend(Box::pin(dry_run(programs, writer, std::slice::from_ref(one))).await?);
            }
            Ok(found)
        }
        Err(ProgramError::Failed { said, .. }) => Ok(vec![Answer::Refused(said)]),
        Err(error) => Err(error.into()),
    }
}

fn answered(answer: &[u8]) -> Result<Vec<Value>, AppError> {
    Ok(objects::parse_json("the cluster", answer)?.into_iter().map(|object| object.value).collect())
}

fn list(items: &[Value]) -> Vec<u8> {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string().into_bytes()
}

fn is_unknown_kind(said: &str) -> bool {
    said.contains("no matches for kind") || said.contains("doesn't have a resource type")
}
