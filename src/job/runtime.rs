//! Which container runtime a job asks for.

use super::name::open_names;

open_names! {
    /// Which container runtime runs the image.
    pub enum RuntimeChoice {
        /// The first that works on the worker: apptainer, singularity, then the built-in one.
        Auto = "auto",
        /// Apptainer.
        Apptainer = "apptainer",
        /// Singularity.
        Singularity = "singularity",
        /// Moorline's own, through user namespaces.
        Builtin = "builtin",
        /// Podman, with an image in an OCI archive.
        Podman = "podman",
        /// Docker, likewise.
        Docker = "docker",
        /// Charliecloud, in a directory that is unpacked from the SIF.
        Charliecloud = "charliecloud",
        /// udocker, likewise.
        Udocker = "udocker",
    }
}

impl RuntimeChoice {
    /// Whether a runtime, as receipts name it, opens the image's file by its name and with a configuration of its own:
    /// what it did is believed.
    #[must_use]
    pub fn opens_by_name(name: &str) -> bool {
        [Self::Apptainer, Self::Singularity].iter().any(|one| one.name() == name)
    }
}

#[expect(clippy::derivable_impls, reason = "the macro writes the enum")]
impl Default for RuntimeChoice {
    fn default() -> Self {
        Self::Auto
    }
}
