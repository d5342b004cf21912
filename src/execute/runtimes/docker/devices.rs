//! How podman and docker are told of graphics processors.
//!
//! | | words |
//! |---|---|
//! | a CDI specification is there, and the engine reads them | `--device nvidia.com/gpu=all`, or each by its UUID |
//! | docker with NVIDIA's runtime | `--gpus all`, or `--gpus "device=UUID,UUID"` |
//! | AMD without CDI | `--device /dev/kfd`, `--device /dev/dri/renderD128`, ... |
//!
//! Source: `podman-run(1)` (CDI since 4.1), docker's "Container Device Interface" (since 25) and "GPU access", AMD's
//! guide to its programs in docker.

use super::argv::Kind;
use super::said::Info;
use crate::execute::ExecuteError;
use crate::execute::gpu::{Found, Specification, Vendor, devices};

/// The words.
///
/// # Errors
/// [`ExecuteError::Terms`] when there is no way to say it.
pub(super) fn words(
    engine: Kind,
    info: &Info,
    found: &Found,
    specification: Option<&Specification>,
) -> Result<Vec<String>, ExecuteError> {
    let no = |why: String| Err(ExecuteError::Terms { runtime: engine.name(), why });
    let device = |name: String| ["--device".to_owned(), name];
    let reads = engine == Kind::Podman || info.knows_cdi();
    if let Some(specification) = specification.filter(|_| reads) {
        return match devices(found, specification) {
            Ok(names) => Ok(names.into_iter().flat_map(device).collect()),
            Err(why) => no(why),
        };
    }
    match found.vendor {
        Vendor::Nvidia if engine == Kind::Docker && info.has_nvidia() => gpus(found).or_else(no),
        Vendor::Nvidia => no(format!(
            "it needs a CDI specification of {} in /etc/cdi or /var/run/cdi, which the administrator makes with \
             nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
            found.vendor.cdi()
        )),
        Vendor::Amd => {
            let nodes = found.nodes.iter().map(|node| node.to_string_lossy().into_owned());
            Ok(nodes.flat_map(device).collect())
        }
    }
}

/// The value is a CSV record, so that a comma in a field needs quotes.
fn gpus(found: &Found) -> Result<Vec<String>, String> {
    let value = if found.all {
        "all".to_owned()
    } else {
        let named = found.said.devices.iter().map(|gpu| gpu.uuid.as_deref());
        let named = named.collect::<Option<Vec<_>>>();
        let named =
            named.ok_or("the job may use some of the GPUs only, and their UUIDs are not known")?;
        format!("\"device={}\"", named.join(","))
    };
    Ok(vec!["--gpus".to_owned(), value])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::{Gpu, Gpus};

    fn found(vendor: Vendor, all: bool) -> Found {
        let gpu = |uuid: &str| Gpu { uuid: Some(uuid.into()), model: None };
        let devices = vec![gpu("GPU-a"), gpu("GPU-b")];
        let said = Gpus { devices, ..Gpus::default() };
        Found { vendor, said, nodes: vec!["/dev/kfd".into(), "/dev/dri/renderD128".into()], all }
    }

    /// No engine here has such a device: these are the words alone.
    #[test]
    fn command_lines() {
        let info = |text: &str| Info::read(text.as_bytes()).unwrap();
        let plain = info(r#"{"ServerVersion":"20"}"#);
        let cdi = info(r#"{"ServerVersion":"28","CDISpecDirs":["/etc/cdi"]}"#);
        let toolkit =
            info(r#"{"ServerVersion":"20","Runtimes":{"nvidia":{"path":"x"},"runc":{}}}"#);
        let text = "kind: nvidia.com/gpu\ndevices: [GPU-a, GPU-b]\n";
        let specification = Specification::from(text);
        let said = |engine, info, all, with: bool| {
            let with = with.then_some(&specification);
            let words = words(engine, info, &found(Vendor::Nvidia, all), with);
            words.map(|words| words.join(" ")).map_err(|error| error.to_string())
        };
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(said(Kind::Podman, &plain, true, true), ok("--device nvidia.com/gpu=all"));
        let each = "--device nvidia.com/gpu=GPU-a --device nvidia.com/gpu=GPU-b";
        assert_eq!(said(Kind::Podman, &plain, false, true), ok(each));
        assert_eq!(said(Kind::Docker, &cdi, true, true), ok("--device nvidia.com/gpu=all"));
        assert_eq!(said(Kind::Docker, &toolkit, true, true), ok("--gpus all"));
        assert_eq!(said(Kind::Docker, &toolkit, false, false), ok("--gpus \"device=GPU-a,GPU-b\""));
        for (engine, with) in [(Kind::Podman, false), (Kind::Docker, true)] {
            let why = said(engine, &plain, true, with).unwrap_err();
            assert!(
                why.contains(engine.name()) && why.contains("nvidia-ctk cdi generate"),
                "{why}"
            );
        }
        let amd = words(Kind::Podman, &plain, &found(Vendor::Amd, true), None).unwrap();
        assert_eq!(amd.join(" "), "--device /dev/kfd --device /dev/dri/renderD128");
    }
}
