//! The bundle's trust metadata, for any TUF client: its repository is the folder `tuf/` of the unpacked bundle, and the root that
//! the site enrolled is all that is believed before.

use std::fs;
use std::path::Path;

use tough::{Prefix, RepositoryLoader, TargetName};
use url::Url;

use super::scene::{Scene, ensure};
use super::{Level, Row};

pub const ROWS: &[Row] = &[
    Row {
        tool: "python-tuf",
        level: Level::Ci,
        what: "verifies the bundle's manifest; not a changed one",
        run: python,
    },
    Row { tool: "go-tuf", level: Level::Ci, what: "verifies the bundle's manifest; not a changed one", run: go },
    Row { tool: "tough", level: Level::Ci, what: "verifies the bundle's manifest; not a changed one", run: tough },
];

fn python(scene: &Scene) -> Result<(), String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trust/tests/oracle/python_tuf.py");
    let script = script.display().to_string();
    judged(scene, "python", |folder| scene.tool("python3", &[&script, folder]).map(drop))
}

fn go(scene: &Scene) -> Result<(), String> {
    judged(scene, "go", |folder| scene.tool("go_tuf", &["verify", folder]).map(drop))
}

fn tough(scene: &Scene) -> Result<(), String> {
    judged(scene, "tough", |folder| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        runtime.block_on(tough_believes(Path::new(folder))).map_err(|error| error.to_string())
    })
}

async fn tough_believes(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let root = fs::read(folder.join("trusted-root.json"))?;
    let url = |name: &str| Url::from_directory_path(folder.join(name)).map_err(|()| "no absolute path");
    let repository = RepositoryLoader::new(&root, url("metadata")?, url("targets")?).load().await?;
    let downloads = tempfile::tempdir()?;
    Ok(repository.save_target(&TargetName::new("manifest.json")?, downloads.path(), Prefix::None).await?)
}

/// The client must believe the manifest, and must not believe another one in its place.
fn judged(scene: &Scene, name: &str, believes: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    let folder = format!("tuf-{name}");
    scene.tool("cp", &["-r", "layout/tuf", &folder])?;
    scene.tool("chmod", &["-R", "u+w", &folder])?;
    let path = scene.path(&folder);
    scene.tool("cp", &["plant/trust/root.json", &format!("{folder}/trusted-root.json")])?;
    let folder = path.display().to_string();
    believes(&folder)?;
    let manifest = path.join("targets/manifest.json");
    let changed = fs::read_to_string(&manifest).map_err(|error| error.to_string())?.replace("plant-7", "plant-8");
    fs::write(&manifest, changed).map_err(|error| error.to_string())?;
    ensure(believes(&folder).is_err(), "it believes a changed manifest")
}
