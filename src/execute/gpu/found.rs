//! Which graphics processors a machine has, and which of them this job may use.
//!
//! A batch engine gives a job some of them by its control group: the others are there and cannot be opened. access(2)
//! asks the control group, too (`devcgroup_inode_permission` in the kernel), and wakes no device.
//!
//! Source: NVIDIA's driver, README chapters 6 (`/proc/driver/nvidia`) and 21 (device files); the kernel's documentation
//! of amdgpu (`unique_id`, `product_name`) and of amdkfd (`/dev/kfd`).

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::execute::ExecuteError;
use crate::job;
use crate::listing;
use crate::runtime::Bind;
use crate::worker::{Gpu, Gpus};

/// Text of a driver beyond this is cut off.
const LONGEST: usize = 120;
/// Files of `/proc` and `/sys` are small.
const MOST: usize = 1 << 16;

/// Whose processors they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::execute) enum Vendor {
    Nvidia,
    Amd,
}

impl Vendor {
    /// As receipts say it.
    fn name(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia",
            Self::Amd => "amd",
        }
    }

    /// As CDI calls the kind of device.
    pub(in crate::execute) fn cdi(self) -> &'static str {
        match self {
            Self::Nvidia => "nvidia.com/gpu",
            Self::Amd => "amd.com/gpu",
        }
    }
}

/// The processors that this job may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::execute) struct Found {
    pub(in crate::execute) vendor: Vendor,
    /// For the receipt.
    pub(in crate::execute) said: Gpus,
    /// The device nodes that a program needs.
    pub(in crate::execute) nodes: Vec<PathBuf>,
    /// Whether these are all that the machine has.
    pub(in crate::execute) all: bool,
}

impl Found {
    /// The device nodes, as mounts of a container that has a `/dev` of its own.
    pub(in crate::execute) fn binds(&self) -> impl Iterator<Item = Bind> {
        self.nodes.iter().map(|node| Bind {
            source: node.clone(),
            target: node.clone(),
            access: job::Access::Rw,
            directory: node.is_dir(),
        })
    }
}

/// Looks for them on this machine.
///
/// # Errors
/// [`ExecuteError::NoGpu`] when there is none that may be used.
pub(in crate::execute) fn look() -> Result<Found, ExecuteError> {
    look_below(Path::new("/")).map_err(ExecuteError::NoGpu)
}

/// Looks on the machine whose root this is.
pub(super) fn look_below(root: &Path) -> Result<Found, String> {
    let (nvidia, amd) = (nvidia(root), amd(root));
    match (nvidia, amd) {
        (Some(Ok(found)), _) | (_, Some(Ok(found))) => Ok(found),
        (Some(Err(why)), _) | (None, Some(Err(why))) => Err(why),
        (None, None) => Err("no driver of NVIDIA or AMD is loaded".into()),
    }
}

fn nvidia(root: &Path) -> Option<Result<Found, String>> {
    let proc = root.join("proc/driver/nvidia");
    if !proc.exists() && !root.join("dev/nvidiactl").exists() {
        return None;
    }
    let driver = text(&root.join("sys/module/nvidia/version"))
        .or_else(|| version(&text(&proc.join("version"))?));
    let (mut nodes, mut usable, mut total) = (Vec::new(), Vec::new(), 0);
    for (name, path) in entries(&root.join("dev")) {
        let Some(rest) = name.strip_prefix("nvidia") else { continue };
        if let Ok(minor) = rest.parse::<u32>() {
            total += 1;
            if may_use(&path) {
                usable.push(minor);
                nodes.push(of_machine(root, &path));
            }
        } else if CONTROL.contains(&rest) {
            nodes.push(of_machine(root, &path));
        }
    }
    if usable.is_empty() {
        let driver = driver.map_or_else(String::new, |version| format!(" {version}"));
        return Some(Err(format!(
            "NVIDIA's driver{driver} is loaded, and this job may open none of its {total} devices"
        )));
    }
    let known = entries(&proc.join("gpus"));
    let known = known.into_iter().filter_map(|(_, path)| information(&path.join("information")));
    let mut devices: Vec<Gpu> =
        known.filter(|(minor, _)| usable.contains(minor)).map(|(_, gpu)| gpu).collect();
    devices.resize(usable.len(), Gpu::default());
    let vendor = Vendor::Nvidia;
    let said = Gpus { kind: vendor.name().into(), driver, devices };
    nodes.sort();
    Some(Ok(Found { vendor, said, nodes, all: usable.len() == total }))
}

/// What stands behind `nvidia` in the names of nodes that serve all devices.
const CONTROL: [&str; 6] =
    ["ctl", "-uvm", "-uvm-tools", "-modeset", "-caps", "-caps-imex-channels"];

/// `NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug ...`
fn version(text: &str) -> Option<String> {
    let number =
        |word: &&str| word.contains('.') && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.lines().next()?.split_whitespace().find(number).map(str::to_owned)
}

/// `/proc/driver/nvidia/gpus/BUS/information`: lines of `Name: value`.
fn information(path: &Path) -> Option<(u32, Gpu)> {
    let all = whole(path)?;
    let value = |name: &str| {
        let lines = all.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| shown(value));
        found.next().filter(|value| !value.is_empty())
    };
    // a device that nothing has opened yet has question marks there
    let uuid = value("GPU UUID").filter(|uuid| !uuid.contains('?'));
    Some((value("Device Minor")?.parse().ok()?, Gpu { uuid, model: value("Model") }))
}

fn amd(root: &Path) -> Option<Result<Found, String>> {
    let kfd = root.join("dev/kfd");
    if !kfd.exists() {
        return None;
    }
    let no = |why: &str| Some(Err(format!("AMD's driver is loaded, and this job may {why}")));
    if !may_use(&kfd) {
        return no("not open /dev/kfd (the groups render and video may)");
    }
    let render = entries(&root.join("dev/dri"));
    let (render, cards): (Vec<_>, Vec<_>) =
        render.into_iter().partition(|(name, _)| name.starts_with("renderD"));
    let total = render.len();
    let usable = |(_, path): &(String, PathBuf)| may_use(path);
    let usable: Vec<_> = render.into_iter().filter(usable).collect();
    if usable.is_empty() {
        return no(&format!("open none of its {total} devices in /dev/dri"));
    }
    let cards = cards.into_iter().filter(|(name, path)| name.starts_with("card") && may_use(path));
    let mut nodes = vec![of_machine(root, &kfd)];
    nodes.extend(usable.iter().cloned().chain(cards).map(|(_, path)| of_machine(root, &path)));
    let device = |(name, _): &(String, PathBuf)| {
        let device = root.join("sys/class/drm").join(name).join("device");
        Gpu {
            uuid: text(&device.join("unique_id")),
            model: text(&device.join("product_name")).or_else(|| text(&device.join("device"))),
        }
    };
    let vendor = Vendor::Amd;
    let said = Gpus {
        kind: vendor.name().into(),
        driver: text(&root.join("sys/module/amdgpu/version")),
        devices: usable.iter().map(device).collect(),
    };
    Some(Ok(Found { vendor, said, nodes, all: usable.len() == total }))
}

fn may_use(path: &Path) -> bool {
    access(path, Access::READ_OK | Access::WRITE_OK).is_ok()
}

/// Names and paths in a directory, sorted; empty for what is not there.
fn entries(dir: &Path) -> Vec<(String, PathBuf)> {
    let names = listing::names(dir).unwrap_or_default();
    let mut all: Vec<(String, PathBuf)> = names
        .into_iter()
        .filter_map(|name| Some((name.to_str()?.to_owned(), dir.join(&name))))
        .collect();
    all.sort();
    all
}

/// A path as the machine has it.
fn of_machine(root: &Path, path: &Path) -> PathBuf {
    Path::new("/").join(path.strip_prefix(root).unwrap_or(path))
}

fn whole(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok().filter(|bytes| bytes.len() <= MOST)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A small file's text; `None` for an empty one.
fn text(path: &Path) -> Option<String> {
    Some(shown(&whole(path)?)).filter(|text| !text.is_empty())
}

/// One line of what somebody else wrote.
fn shown(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    pub(in super::super) fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A machine with two NVIDIA processors: files where the driver has them (simulated).
    pub(in super::super) fn two_nvidia(root: &Path) {
        write(
            root,
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\nGCC version: 12.2.0\n",
        );
        for (bus, minor) in [("0000:01:00.0", 0), ("0000:02:00.0", 1)] {
            let text = format!(
                "Model: \t\t NVIDIA A100\nIRQ:   \t\t 0\nGPU UUID: \t GPU-0{minor}\nDevice Minor: \t {minor}\n"
            );
            write(root, &format!("proc/driver/nvidia/gpus/{bus}/information"), &text);
            write(root, &format!("dev/nvidia{minor}"), "");
        }
        for name in ["nvidiactl", "nvidia-uvm", "nvidia-nvswitchctl", "null"] {
            write(root, &format!("dev/{name}"), "");
        }
    }

    fn close(root: &Path, path: &str) {
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o000)).unwrap();
    }

    #[test]
    fn simulated_nvidia() {
        let dir = tempfile::tempdir().unwrap();
        two_nvidia(dir.path());
        let found = look_below(dir.path()).unwrap();
        let gpu =
            |n: u32| Gpu { uuid: Some(format!("GPU-0{n}")), model: Some("NVIDIA A100".into()) };
        assert_eq!(found.said.devices, [gpu(0), gpu(1)]);
        assert_eq!(found.said.driver.as_deref(), Some("535.104.05"));
        let nodes = ["/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl"];
        assert_eq!(found.nodes, nodes.map(PathBuf::from));
        assert!(found.all);
        write(dir.path(), "sys/module/nvidia/version", "550.1\n");
        let said = look_below(dir.path()).unwrap().said;
        assert_eq!((said.kind.as_str(), said.driver.as_deref()), ("nvidia", Some("550.1")));
        if rustix::process::geteuid().is_root() {
            // root may open everything, so that the rest is for an ordinary user
            return;
        }
        close(dir.path(), "dev/nvidia0");
        let found = look_below(dir.path()).unwrap();
        assert!(!found.all && !found.nodes.contains(&PathBuf::from("/dev/nvidia0")));
        assert_eq!(found.said.devices, [gpu(1)]);
        close(dir.path(), "dev/nvidia1");
        let why = look_below(dir.path()).unwrap_err();
        assert!(why.contains("550.1") && why.contains("none of its 2 devices"), "{why}");
    }

    #[test]
    fn simulated_amd_and_none() {
        let dir = tempfile::tempdir().unwrap();
        let why = look_below(dir.path()).unwrap_err();
        assert!(why.contains("no driver"), "{why}");
        write(dir.path(), "dev/kfd", "");
        let why = look_below(dir.path()).unwrap_err();
        assert!(why.contains("none of its 0 devices"), "{why}");
        for name in ["renderD128", "card0", "by-path"] {
            write(dir.path(), &format!("dev/dri/{name}"), "");
        }
        write(dir.path(), "sys/class/drm/renderD128/device/unique_id", "d2e9\n");
        write(dir.path(), "sys/class/drm/renderD128/device/device", "0x7408\n");
        let found = look_below(dir.path()).unwrap();
        let nodes = ["/dev/kfd", "/dev/dri/renderD128", "/dev/dri/card0"];
        assert_eq!(found.nodes, nodes.map(PathBuf::from));
        let gpu = Gpu { uuid: Some("d2e9".into()), model: Some("0x7408".into()) };
        assert_eq!(found.said, Gpus { kind: "amd".into(), driver: None, devices: vec![gpu] });
    }

    #[test]
    fn text_of_a_driver_is_one_short_line() {
        assert_eq!(shown(" a\tb\u{1b}[0m "), "a b [0m");
        assert_eq!(shown(&"x".repeat(500)).len(), LONGEST);
        assert_eq!(
            version("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release"),
            Some("550.54.14".into())
        );
        assert_eq!(version(""), None);
    }
}
