//! From Python's objects to a job.

use super::super::error::ImportError;
use super::super::python::{Module, Object, Value, parse};
use crate::secret::Secret;

/// What the job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// In the image, by name or path.
    InImage(String),
    /// A file of the user.
    Own(String),
}

/// What it runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// Of a registry or a hub, in Moorline's spelling.
    Reference(String),
    /// A SIF on a disk.
    File(String),
    /// A SIF in grid storage.
    Lfn(String),
}

/// The deploy token of a private image. The password is nowhere else.
#[derive(Clone, Debug)]
pub struct Token {
    /// `tokenuser`.
    pub user: String,
    /// `tokenpassword`, if it is there.
    pub password: Option<Secret>,
}

/// A job, as far as it is understood.
#[derive(Clone, Debug)]
pub struct Job {
    /// `name`.
    pub name: Option<String>,
    /// `application.exe`.
    pub program: Program,
    /// `application.args`.
    pub args: Vec<String>,
    /// `application.env`.
    pub env: Vec<(String, String)>,
    /// `virtualization.image`.
    pub image: Image,
    /// `virtualization.mounts`: of the host, in the container.
    pub mounts: Vec<(String, String)>,
    /// `virtualization.options`, where they are Singularity's.
    pub options: Vec<String>,
    /// The class of `backend`.
    pub backend: Option<String>,
    /// `backend.queue`.
    pub queue: Option<String>,
    /// `inputfiles`: names of local files.
    pub inputs: Vec<String>,
    /// `outputfiles`: names or patterns.
    pub outputs: Vec<String>,
    /// The token, for a login.
    pub token: Option<Token>,
    /// What was left out, a sentence each.
    pub notes: Vec<String>,
}

/// Reads the one job of a text of Python.
///
/// # Errors
/// When it is no Python, makes no job or several, or names no program or image.
pub fn read(text: &str) -> Result<Job, ImportError> {
    let module = parse(text)?;
    let mut jobs = module.of_class("Job");
    let job = match (jobs.next(), jobs.count()) {
        (None, _) => return Err(ImportError::NoJob),
        (Some(job), 0) => job,
        (Some(_), more) => return Err(ImportError::Several(more + 1)),
    };
    Reader { module: &module, notes: Vec::new() }.job(job)
}

struct Reader<'m> {
    module: &'m Module,
    notes: Vec<String>,
}

impl<'m> Reader<'m> {
    fn job(mut self, job: &'m Object) -> Result<Job, ImportError> {
        const KNOWN: [&str; 8] = [
            "name",
            "comment",
            "application",
            "virtualization",
            "backend",
            "inputfiles",
            "outputfiles",
            "inputsandbox",
        ];
        self.others(job, &KNOWN);
        let application = self.inner(job, "application")?.ok_or(ImportError::NoProgram)?;
        let container = self.inner(job, "virtualization")?.ok_or(ImportError::NoImage)?;
        let program = self.program(application)?;
        self.others(application, &["exe", "args", "env", "is_prepared", "platform"]);
        let image = self.image(container)?;
        let options = self.options(container)?;
        let token = self.token(container)?;
        let known = ["image", "mounts", "options", "tokenuser", "tokenpassword", "mode"];
        self.others(container, &known);
        let backend = self.inner(job, "backend")?;
        let queue = match backend {
            Some(backend) => {
                self.others(backend, &["queue"]);
                text(backend, "queue")?.filter(|queue| !queue.is_empty())
            }
            None => None,
        };
        if !self.module.unread.is_empty() {
            let lines: Vec<String> = self.module.unread.iter().map(ToString::to_string).collect();
            self.notes.push(format!("passed over, not executed: line {}", lines.join(", ")));
        }
        Ok(Job {
            name: text(job, "name")?.filter(|name| !name.is_empty()),
            program,
            args: list(application, "args")?,
            env: pairs(application, "env")?,
            image,
            mounts: pairs(container, "mounts")?,
            options,
            backend: backend.map(|backend| backend.class.clone()),
            queue,
            inputs: self.files(job, "inputfiles", path)?,
            outputs: self.outputs(job)?,
            token,
            notes: self.notes,
        })
    }

    /// Notes the attributes that nobody reads; those that are empty say nothing.
    fn others(&mut self, of: &Object, known: &[&str]) {
        for (name, value) in &of.named {
            let empty = match value {
                Value::Nothing => true,
                Value::Text(text) => text.is_empty(),
                Value::List(list) => list.is_empty(),
                Value::Dict(pairs) => pairs.is_empty(),
                _ => false,
            };
            if !empty && !known.contains(&name.as_str()) {
                self.notes.push(format!("{}.{name} has no counterpart and is left out", of.class));
            }
        }
    }

    fn inner(&self, of: &'m Object, name: &str) -> Result<Option<&'m Object>, ImportError> {
        match value(of, name) {
            None => Ok(None),
            Some(Value::Object(id)) => Ok(self.module.object(*id)),
            Some(_) => Err(wrong(of, name, "an object, such as Executable(...)")),
        }
    }

    fn program(&self, application: &'m Object) -> Result<Program, ImportError> {
        match value(application, "exe").or(application.positional.first()) {
            None => Err(ImportError::NoProgram),
            Some(Value::Object(id)) => {
                let file = self.module.object(*id).ok_or(ImportError::NoProgram)?;
                Ok(Program::Own(path(file)?))
            }
            Some(value) => {
                let name = scalar(value)
                    .ok_or_else(|| wrong(application, "exe", "a text or a File(...)"))?;
                Ok(Program::InImage(name))
            }
        }
    }

    fn image(&self, container: &'m Object) -> Result<Image, ImportError> {
        match value(container, "image").or(container.positional.first()) {
            None => Err(ImportError::NoImage),
            Some(Value::Object(id)) => {
                let file = self.module.object(*id).ok_or(ImportError::NoImage)?;
                if let Some(lfn) = list(file, "lfn")?.into_iter().find(|lfn| !lfn.is_empty()) {
                    let lfn = lfn.strip_prefix("LFN:").unwrap_or(&lfn);
                    return Ok(Image::Lfn(format!("lfn:{lfn}")));
                }
                Ok(Image::File(path(file)?))
            }
            Some(value) => {
                let text = scalar(value)
                    .ok_or_else(|| wrong(container, "image", "a text or a file object"))?;
                Ok(reference(&text))
            }
        }
    }

    fn options(&mut self, container: &Object) -> Result<Vec<String>, ImportError> {
        let options = list(container, "options")?;
        let mode = text(container, "mode")?.filter(|mode| !mode.is_empty());
        if let Some(mode) = mode {
            self.notes.push(format!(
                "{}.mode {mode:?} is udocker's and is left out: Moorline chooses a runtime itself",
                container.class
            ));
        }
        if options.is_empty() || container.class == "Singularity" {
            return Ok(options);
        }
        self.notes.push(format!(
            "{}.options are flags of docker and are left out: jobs run from a SIF",
            container.class
        ));
        Ok(Vec::new())
    }

    fn token(&mut self, container: &Object) -> Result<Option<Token>, ImportError> {
        let password = match container.named.get("tokenpassword") {
            Some(Value::Secret(secret)) => Some(secret.clone()),
            _ => None,
        };
        let user = text(container, "tokenuser")?.filter(|user| !user.is_empty());
        Ok(match (user, password) {
            (Some(user), password) => Some(Token { user, password }),
            (None, Some(_)) => {
                self.notes.push("tokenpassword without tokenuser is dropped".to_owned());
                None
            }
            (None, None) => None,
        })
    }

    /// Names of what the job leaves in its working directory. Where Ganga would put it afterwards is noted.
    fn outputs(&mut self, job: &'m Object) -> Result<Vec<String>, ImportError> {
        let mut places = Vec::new();
        let files = self.files(job, "outputfiles", |file| {
            if let Some(place) = text(file, "localDir")?.filter(|place| !place.is_empty()) {
                places.push(place);
            }
            named(file)
        })?;
        for place in places {
            self.notes.push(format!(
                "outputfiles: nothing is copied to {place}: they stay in the job's working directory, which moorline status names"
            ));
        }
        Ok(files)
    }

    /// Local files, as `said` has them; others are noted.
    fn files(
        &mut self,
        job: &'m Object,
        name: &str,
        mut said: impl FnMut(&Object) -> Result<String, ImportError>,
    ) -> Result<Vec<String>, ImportError> {
        let Some(Value::List(values)) = value(job, name) else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        for value in values {
            match value {
                Value::Object(id) => {
                    let Some(file) = self.module.object(*id) else { continue };
                    if ["LocalFile", "File", "SharedFile"].contains(&file.class.as_str()) {
                        files.push(said(file)?);
                    } else {
                        self.notes.push(format!("{name}: a {} is left out", file.class));
                    }
                }
                value => files.extend(scalar(value)),
            }
        }
        Ok(files)
    }
}

fn value<'o>(of: &'o Object, name: &str) -> Option<&'o Value> {
    of.named.get(name).filter(|value| !matches!(value, Value::Nothing))
}

fn text(of: &Object, name: &str) -> Result<Option<String>, ImportError> {
    match of.named.get(name) {
        None | Some(Value::Nothing) => Ok(None),
        Some(value) => Ok(Some(scalar(value).ok_or_else(|| wrong(of, name, "a text"))?)),
    }
}

fn list(of: &Object, name: &str) -> Result<Vec<String>, ImportError> {
    let bad = || wrong(of, name, "a list of texts and numbers");
    match of.named.get(name) {
        None | Some(Value::Nothing) => Ok(Vec::new()),
        Some(Value::List(values)) => {
            values.iter().map(|value| scalar(value).ok_or_else(bad)).collect()
        }
        Some(value) => Ok(vec![scalar(value).ok_or_else(bad)?]),
    }
}

fn pairs(of: &Object, name: &str) -> Result<Vec<(String, String)>, ImportError> {
    let bad = || wrong(of, name, "a dict of texts");
    match of.named.get(name) {
        None | Some(Value::Nothing) => Ok(Vec::new()),
        Some(Value::Dict(pairs)) => {
            let pair = |(key, value): &(Value, Value)| Some((scalar(key)?, scalar(value)?));
            pairs.iter().map(|both| pair(both).ok_or_else(bad)).collect()
        }
        Some(_) => Err(bad()),
    }
}

/// The name or pattern of a file, without its directory.
fn named(file: &Object) -> Result<String, ImportError> {
    let first = file.positional.first().and_then(scalar);
    let (pattern, name) = (text(file, "namePattern")?, text(file, "name")?);
    pattern.or(name).or(first).ok_or_else(|| wrong(file, "name", "given"))
}

/// Where a `File`, `LocalFile` or `SharedFile` lies.
fn path(file: &Object) -> Result<String, ImportError> {
    let name = named(file)?;
    let locations = list(file, "locations")?;
    let dir = locations.into_iter().next().or(text(file, "localDir")?);
    Ok(match dir.filter(|dir| !dir.is_empty() && !name.starts_with('/')) {
        // a location may be the file itself
        Some(whole) if whole.ends_with(&format!("/{name}")) => whole,
        Some(dir) => format!("{}/{name}", dir.trim_end_matches('/')),
        None => name,
    })
}

fn wrong(of: &Object, name: &str, expected: &'static str) -> ImportError {
    ImportError::Value { line: of.line, what: format!("{}.{name}", of.class), expected }
}

/// A text, or what Python would print of a number.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) | Value::Number(text) => Some(text.clone()),
        Value::Truth(truth) => Some(if *truth { "True" } else { "False" }.to_owned()),
        _ => None,
    }
}

fn is_sif(name: &str) -> bool {
    std::path::Path::new(name).extension().is_some_and(|kind| kind.eq_ignore_ascii_case("sif"))
}

/// An image by name. Ganga leaves a name without a registry to Docker or Singularity, for which it is of Docker Hub;
/// here it would be of the registry that is configured.
fn reference(text: &str) -> Image {
    if text.starts_with("shub://") || text.starts_with("oras://") || text.starts_with("library://")
    {
        return Image::Reference(text.to_owned());
    }
    let name = text.strip_prefix("docker://").unwrap_or(text);
    if text == name && (name.starts_with(['/', '.']) || is_sif(name)) {
        return Image::File(name.to_owned());
    }
    let registry = name.split_once('/').map(|(first, _)| first);
    let named = registry.is_some_and(|r| r.contains(['.', ':']) || r == "localhost");
    Image::Reference(if named { name.to_owned() } else { format!("docker.io/{name}") })
}
