//! Debian's docker-registry on loopback, over images that are laid into its storage, not pushed.
//!
//! ```text
//! docker/registry/v2/blobs/sha256/ab/HEX/data                                (a hard link)
//! docker/registry/v2/repositories/NAME/_layers/sha256/HEX/link               "sha256:HEX"
//! docker/registry/v2/repositories/NAME/_manifests/revisions/sha256/HEX/link
//! docker/registry/v2/repositories/NAME/_manifests/tags/latest/current/link
//! ```
//!
//! Source: distribution 2.8, `registry/storage/paths.go`.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use moorline::oci::{ConfigDigest, Digest, Sha256Digest};

use crate::image::Image;

/// A registry; dropping it ends it.
pub struct Registry {
    child: Child,
    pub address: SocketAddr,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves images under names, each with the tag `latest`.
pub fn start(dir: &Path, images: &[(&str, &Image)]) -> io::Result<Registry> {
    let root = dir.join("registry");
    let _ = fs::remove_dir_all(&root);
    let v2 = root.join("docker/registry/v2");
    for (name, image) in images {
        lay(&v2, name, image)?;
    }
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config = root.join("config.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: '{}'}}}}\nhttp: {{addr: '{address}'}}\n",
        root.display()
    );
    fs::write(&config, text)?;
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(&config)
        .env("OTEL_TRACES_EXPORTER", "none")
        .stdout(Stdio::null())
        .stderr(fs::File::create(root.join("log"))?)
        .spawn()?;
    let registry = Registry { child, address };
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("no registry: see {}", root.display())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(registry)
}

fn lay(v2: &Path, name: &str, image: &Image) -> io::Result<()> {
    let source = &image.source;
    let config = Digest::from(ConfigDigest::of(&source.config_bytes));
    let repository = v2.join("repositories").join(name);
    let link = |at: &str, digest: &Digest| -> io::Result<()> {
        let at = repository.join(at);
        fs::create_dir_all(&at)?;
        fs::write(at.join("link"), digest.to_string())
    };
    let layers = source.layers.iter().map(|layer| layer.digest);
    for digest in layers.chain([config, source.manifest]) {
        let hex = digest.hex();
        let at = v2.join("blobs/sha256").join(&hex[..2]).join(&hex);
        fs::create_dir_all(&at)?;
        if !at.join("data").exists() {
            fs::hard_link(image.dir.join("oci/blobs/sha256").join(&hex), at.join("data"))?;
        }
        link(&format!("_layers/sha256/{hex}"), &digest)?;
    }
    let manifest = source.manifest;
    link(&format!("_manifests/revisions/sha256/{}", manifest.hex()), &manifest)?;
    link(&format!("_manifests/tags/latest/index/sha256/{}", manifest.hex()), &manifest)?;
    link("_manifests/tags/latest/current", &manifest)
}
