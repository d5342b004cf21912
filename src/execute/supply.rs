//! The image of one attempt: got where the job's delivery says, compared with the pin, and got again where a node lost it.
//!
//! ```text
//!  shared, file      the place in the plan; a copy on the node where it is hashed whole and lies on a network's disk
//!  transfer          where the engine put it
//!  pull              the node's cache, pulled now where it is not there
//!  cvmfs             a published tree
//! ```
//!
//! Whoever uses the image has compared it, or compares its blocks when they are read.

use std::fs;
use std::path::{Path, PathBuf};

use super::image::{Archived, Image};
use super::measure::{Measured, measure, seal};
use super::node::{self, Bounds, Images, InUse};
use super::report::Report;
use super::rootfs::Server;
use super::{ExecuteError, delivered, directory};
use crate::failure::{Failure, Kind};
use crate::job::{self, Delivery, Evidence, Grade};
use crate::oci::{SifDigest, TreeRoot};
use crate::pin;
use crate::worker::Plan;

/// Where the image of an attempt lies.
#[derive(Default)]
pub(super) struct Supply {
    /// Once that is known.
    pub(super) place: Option<PathBuf>,
    /// The node's images, and the one of them that is used.
    images: Option<(Images, Option<InUse>)>,
}

impl Supply {
    /// The image, wherever it is got from, compared with the pin; `checks` as below. A credential that came with the job
    /// is not needed any more then.
    pub(super) fn image(
        &mut self,
        report: &mut Report,
        plan: &Plan,
        job: (&Path, &str),
        checks: bool,
    ) -> Result<Image, ExecuteError> {
        let got = self.got(report, plan, job, checks);
        // an attempt that was told to end may be followed by another one; other tasks of an array need it, too
        if !matches!(got, Err(ExecuteError::Told(_))) && plan.task_from.is_none() {
            node::forget_credential(job.0);
        }
        got
    }

    fn got(
        &mut self,
        report: &mut Report,
        plan: &Plan,
        job: (&Path, &str),
        checks: bool,
    ) -> Result<Image, ExecuteError> {
        match (&plan.job.delivery, &plan.job.image) {
            (Delivery::Cvmfs {}, pin::Image::Oci { pin }) => {
                let (directory, evidence) = directory::published(&plan.getting.cvmfs, pin, job.0)?;
                report.evidence = evidence;
                return Ok(Image::Directory(Box::new(directory)));
            }
            (Delivery::Pull { .. }, _) => self.pull(report, plan, job)?,
            (Delivery::Transfer { .. }, _) => {
                let meta = self.place.as_ref().and_then(|place| fs::metadata(place).ok());
                report.conditions.moved = meta.map(|meta| meta.len());
            }
            _ => self.copy(report, plan, checks)?,
        }
        let place = self.place.clone().unwrap_or_default();
        match look_at(report, plan, &place, checks) {
            // the node's own copy: a cleaner of temporary files may have taken a part of it
            Err(error) if self.images.is_some() && is_damage(&error) => {
                self.again(report, plan, job, &error)?;
                let place = self.place.clone().unwrap_or_default();
                look_at(report, plan, &place, checks)
            }
            other => other,
        }
    }

    /// The SIF of the node's images, pulled now where it is not there.
    fn pull(
        &mut self,
        report: &mut Report,
        plan: &Plan,
        job: (&Path, &str),
    ) -> Result<(), ExecuteError> {
        let images = match self.images.take() {
            Some((images, _)) => images,
            None => Images::of(plan)?,
        };
        report.notes.extend(images.note.clone());
        let (place, moved) = node::pull(&images, plan, job)?;
        // a second look finds it on the node, and moves nothing more
        report.conditions.moved = moved.or(report.conditions.moved);
        self.keep(images, plan, place);
        Ok(())
    }

    /// A copy on this node of a SIF that is to be hashed whole, where that saves work.
    fn copy(&mut self, report: &mut Report, plan: &Plan, checks: bool) -> Result<(), ExecuteError> {
        let pin::Image::Sif { digest, tree, .. } = &plan.job.image else { return Ok(()) };
        let Some(place) = self.place.clone() else { return Ok(()) };
        let served = checks && tree.is_some() && Server::possible().is_ok();
        if served || !node::is_worth_it(&place, plan.getting.copy) {
            return Ok(());
        }
        let images = Images::of(plan)?;
        if images.note.is_some() {
            // a copy for one job saves nothing
            return Ok(());
        }
        match node::copied(&images, &place, *digest)? {
            Ok(copy) => self.keep(images, plan, copy),
            Err(why) => report.notes.push(why),
        }
        Ok(())
    }

    /// Uses a SIF of the node's, and makes room for it.
    fn keep(&mut self, images: Images, plan: &Plan, place: PathBuf) {
        let used = plan.job.image.sif().and_then(|digest| {
            let used = images.in_use(&place, digest);
            node::make_room(&images, Bounds::of(&plan.getting, digest));
            used
        });
        self.images = Some((images, used));
        self.place = Some(place);
    }

    /// The node's SIF is damaged: it goes, and is got again.
    fn again(
        &mut self,
        report: &mut Report,
        plan: &Plan,
        job: (&Path, &str),
        error: &ExecuteError,
    ) -> Result<(), ExecuteError> {
        let Some((images, used)) = self.images.take() else { return Ok(()) };
        drop(used);
        let place = self.place.take().unwrap_or_default();
        let again = node::forget(&place);
        report.notes.push(format!(
            "what this node had of the image was damaged, perhaps by a cleaner of temporary files ({error}): it \
             is got again"
        ));
        self.place = Some(place);
        self.images = Some((images, None));
        if !again {
            return Ok(());
        }
        if let Delivery::Pull { .. } = plan.job.delivery {
            return self.pull(report, plan, job);
        }
        self.images = None;
        self.place = Some(delivered::place(&plan.job.delivery, delivered::job(job.0))?);
        Ok(())
    }

    /// A file that cannot be read as an image is another file than the pinned one, or the pinned one is bad: where its
    /// blocks were to be checked, it was not hashed before, so it is now.
    pub(super) fn explained(
        &mut self,
        report: &mut Report,
        plan: &Plan,
        error: ExecuteError,
    ) -> ExecuteError {
        let pin::Image::Sif { digest, tree: Some(_), .. } = &plan.job.image else { return error };
        let known = matches!(
            error,
            ExecuteError::Mismatch { .. }
                | ExecuteError::OtherImage { .. }
                | ExecuteError::PlanChanged { .. }
        );
        if known || error.kind() != Kind::Integrity {
            return error;
        }
        let Some(place) = self.place.clone() else { return error };
        match measured_at(report, &place, *digest) {
            Err(other @ ExecuteError::Mismatch { .. }) => other,
            _ => error,
        }
    }
}

/// Whether a file of the node's is not what it was.
fn is_damage(error: &ExecuteError) -> bool {
    matches!(
        error,
        ExecuteError::ImageMissing { .. }
            | ExecuteError::Mismatch { .. }
            | ExecuteError::Sealed { .. }
            | ExecuteError::Sif { .. }
    )
}

/// The image to be checked when it is read.
fn sealed_at(
    report: &mut Report,
    place: &Path,
    expected: SifDigest,
    root: TreeRoot,
) -> Result<Measured, ExecuteError> {
    let sealed = seal(place, expected, root)?;
    let measured = Some(job::Measured::Tree(root));
    let grade = Grade::VerifiedOnRead;
    report.evidence = Evidence { grade, measured, measured_at: Some(sealed.at) };
    Ok(sealed)
}

/// The image hashed as a whole.
fn measured_at(
    report: &mut Report,
    place: &Path,
    expected: SifDigest,
) -> Result<Measured, ExecuteError> {
    let measured = measure(place, expected);
    let known = match &measured {
        Ok(m) => Some((m.digest, m.at)),
        Err(ExecuteError::Mismatch { found, .. }) => Some((*found, jiff::Timestamp::now())),
        Err(_) => None,
    };
    if let Some((digest, at)) = known {
        let measured = Some(job::Measured::Sif(digest));
        report.evidence = Evidence { grade: Grade::Measured, measured, measured_at: Some(at) };
    }
    measured
}

/// The image at its place, compared with the pin; `checks` when the runtime can check its blocks as they are read.
fn look_at(
    report: &mut Report,
    plan: &Plan,
    place: &Path,
    checks: bool,
) -> Result<Image, ExecuteError> {
    let sif = |measured| Image::Sif(Box::new(measured));
    match &plan.job.image {
        pin::Image::Sif { digest, tree: Some(root), .. } if checks => {
            Server::possible().map_err(ExecuteError::NotServed)?;
            sealed_at(report, place, *digest, *root).map(sif)
        }
        pin::Image::Sif { digest, .. } => measured_at(report, place, *digest).map(sif),
        pin::Image::Oci { pin } => {
            Archived::open(place, pin).map(|archived| Image::Oci(Box::new(archived)))
        }
        other @ pin::Image::Other { .. } => Err(ExecuteError::NotSif(other.name())),
    }
}
