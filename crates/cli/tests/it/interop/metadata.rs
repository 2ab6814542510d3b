//! The bundle's trust metadata, for any TUF client: its repository is the folder `tuf/` of the unpacked bundle, and the root that
//! the site enrolled is all that is believed before.

use std::fs;
use std::path::{Path, PathBuf};

use tough::{Prefix, RepositoryLoader, TargetName};
use url::Url;

use super::scene::{APP, Scene, VENDOR_LAYOUT, ensure};
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
    Row {
        tool: "python-tuf",
        level: Level::Ci,
        what: "verifies what a vendor vouches for; not another image",
        run: |scene| vouched(scene, "python", python_believes),
    },
    Row {
        tool: "go-tuf",
        level: Level::Ci,
        what: "verifies what a vendor vouches for; not another image",
        run: |scene| vouched(scene, "go", go_believes),
    },
    Row {
        tool: "tough",
        level: Level::Ci,
        what: "verifies what a vendor vouches for; not another image",
        run: |scene| vouched(scene, "tough", tough_believes),
    },
];

const MANIFEST: &str = "manifest.json";

fn python(scene: &Scene) -> Result<(), String> {
    judged(scene, "python", python_believes)
}

fn go(scene: &Scene) -> Result<(), String> {
    judged(scene, "go", go_believes)
}

fn tough(scene: &Scene) -> Result<(), String> {
    judged(scene, "tough", tough_believes)
}

/// A client that gets a target out of a folder, and believes it or says why not.
type Believes = fn(&Scene, &str, &str) -> Result<(), String>;

fn python_believes(scene: &Scene, folder: &str, target: &str) -> Result<(), String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trust/tests/oracle/python_tuf.py");
    scene.tool("python3", &[&script.display().to_string(), folder, target]).map(drop)
}

fn go_believes(scene: &Scene, folder: &str, target: &str) -> Result<(), String> {
    scene.tool("go_tuf", &["verify", folder, target]).map(drop)
}

fn tough_believes(_: &Scene, folder: &str, target: &str) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    runtime.block_on(tough_gets(Path::new(folder), target)).map_err(|error| error.to_string())
}

async fn tough_gets(folder: &Path, target: &str) -> Result<(), Box<dyn std::error::Error>> {
    let root = fs::read(folder.join("trusted-root.json"))?;
    let url = |name: &str| Url::from_directory_path(folder.join(name)).map_err(|()| "no absolute path");
    let repository = RepositoryLoader::new(&root, url("metadata")?, url("targets")?).load().await?;
    let downloads = tempfile::tempdir()?;
    Ok(repository.save_target(&TargetName::new(target)?, downloads.path(), Prefix::None).await?)
}

/// The client must believe the manifest, and must not believe another one in its place.
fn judged(scene: &Scene, name: &str, believes: Believes) -> Result<(), String> {
    let path = repository(scene, "layout", &format!("tuf-{name}"))?;
    let folder = path.display().to_string();
    believes(scene, &folder, MANIFEST)?;
    let manifest = path.join("targets").join(MANIFEST);
    let changed = fs::read_to_string(&manifest).map_err(|error| error.to_string())?.replace("plant-7", "plant-8");
    fs::write(&manifest, changed).map_err(|error| error.to_string())?;
    ensure(believes(scene, &folder, MANIFEST).is_err(), "it believes a changed manifest")
}

/// The client must follow the publisher's delegation to what the vendor signed, and must not believe another image under that
/// name. A bundle has its images among its blobs, where a TUF client does not look: the one in question is laid out for it.
fn vouched(scene: &Scene, name: &str, believes: Believes) -> Result<(), String> {
    let path = repository(scene, VENDOR_LAYOUT, &format!("tuf-vendor-{name}"))?;
    let folder = path.display().to_string();
    let read = |file: &Path| fs::read(file).map_err(|error| format!("{}: {error}", file.display()));
    let vendor: serde_json::Value =
        serde_json::from_slice(&read(&path.join("metadata/team.json"))?).map_err(|error| error.to_string())?;
    let hex = vendor["signed"]["targets"][APP]["hashes"]["sha256"].as_str().ok_or("the vendor vouches for no image")?;
    let mut image = read(&scene.path(VENDOR_LAYOUT).join("blobs/sha256").join(hex))?;
    let target = path.join("targets").join(APP);
    fs::create_dir_all(target.parent().ok_or("no folder")?).map_err(|error| error.to_string())?;
    fs::write(&target, &image).map_err(|error| error.to_string())?;
    believes(scene, &folder, APP)?;
    image.reverse();
    fs::write(&target, &image).map_err(|error| error.to_string())?;
    ensure(believes(scene, &folder, APP).is_err(), "it believes another image")
}

/// A bundle's `tuf/` as a repository of its own, beside the root that is believed.
fn repository(scene: &Scene, layout: &str, name: &str) -> Result<PathBuf, String> {
    scene.tool("cp", &["-r", &format!("{layout}/tuf"), name])?;
    scene.tool("chmod", &["-R", "u+w", name])?;
    scene.tool("cp", &["plant/trust/root.json", &format!("{name}/trusted-root.json")])?;
    Ok(scene.path(name))
}
