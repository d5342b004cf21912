//! From a job to the text of a job file.

use std::path::{Component, Path};

use toml::Value;

use super::job::{Image, Job, Program};

/// The job file's text; what is left out is added to the job's notes and stands in the file as a comment. `engines`
/// are the names that `--backend` knows.
#[must_use]
pub fn write(job: &mut Job, engines: &[&str]) -> String {
    let mut lines = Vec::new();
    let mut set = |key: &str, value: Value| lines.push(format!("{key} = {value}"));
    let text = |text: &str| Value::String(text.to_owned());
    let list = |texts: &[String]| Value::Array(texts.iter().map(|one| text(one)).collect());
    let mut notes = std::mem::take(&mut job.notes);

    if let Some(name) = &job.name {
        set("name", text(&name.replace(['\n', '\r'], " ")));
    }
    set(
        "image",
        match &job.image {
            Image::Reference(name) | Image::Lfn(name) => text(name),
            // a word without a slash would be an image of a registry
            Image::File(path) if path.contains('/') => text(path),
            Image::File(name) => text(&format!("./{name}")),
        },
    );
    let mut command = Vec::new();
    match &job.program {
        Program::InImage(name) => command.push(name.clone()),
        Program::Own(path) => set("exe", text(path)),
    }
    command.extend(job.args.iter().cloned());
    if !command.is_empty() {
        set("command", list(&command));
    }
    if !job.env.is_empty() {
        let pairs = job.env.iter().map(|(name, value)| (name.clone(), text(value)));
        set("env", Value::Table(pairs.collect()));
    }
    if !job.mounts.is_empty() {
        let mounts: Vec<String> =
            job.mounts.iter().map(|(host, inside)| mount(host, inside)).collect();
        set("mount", list(&mounts));
    }
    if !job.options.is_empty() {
        set("runtime", text("apptainer"));
        set("option", list(&job.options));
    }
    match job.backend.as_deref().map(|class| (class, engine(class, engines))) {
        Some((_, Some(name))) => set("backend", text(name)),
        Some((class, None)) => notes.push(format!(
            "backend {class}: this moorline has no such engine; --backend NAME chooses one of {}",
            engines.join(", ")
        )),
        None => {}
    }
    if let Some(queue) = &job.queue {
        set("queue", text(queue));
    }
    let inputs = inputs(&job.inputs, &mut notes);
    if !inputs.is_empty() {
        set("input", list(&inputs));
    }
    let outputs = outputs(&job.outputs, &mut notes);
    if !outputs.is_empty() {
        set("output", list(&outputs));
    }
    let mut head = vec!["# A Ganga job, read by moorline import ganga.".to_owned()];
    head.extend(notes.iter().map(|note| format!("# {}", note.replace(char::is_control, " "))));
    job.notes = notes;
    head.extend(lines);
    head.join("\n") + "\n"
}

/// Files that are copied to the job under their own names.
fn inputs(files: &[String], notes: &mut Vec<String>) -> Vec<String> {
    let mut written = Vec::new();
    for file in files {
        let name = Path::new(file).file_name().and_then(|name| name.to_str());
        match name {
            _ if file.contains(['*', '?', '[']) => notes.push(format!(
                "inputfiles: {file} is left out: an input is one file, so name each that is meant"
            )),
            // what stands behind the last colon would be read as the name
            Some(name) if file.contains(':') && !name.contains(':') => {
                written.push(format!("{file}:{name}"));
            }
            Some(name) if !name.contains(':') => written.push(file.clone()),
            _ => {
                notes
                    .push(format!("inputfiles: {file} is left out: give it a name without colons"));
            }
        }
    }
    written
}

/// Patterns for files of the working directory.
fn outputs(files: &[String], notes: &mut Vec<String>) -> Vec<String> {
    let mut written = Vec::new();
    for file in files {
        let below = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
        if below && !file.is_empty() && !file.ends_with('/') {
            written.push(file.clone());
        } else {
            notes.push(format!(
                "outputfiles: {file} is left out: it is not a name below the job's working directory"
            ));
        }
    }
    written
}

fn mount(host: &str, inside: &str) -> String {
    if host == inside { host.to_owned() } else { format!("{host}:{inside}") }
}

/// Ganga's class names are the engines' names, in capitals or shortened.
fn engine<'e>(class: &str, engines: &[&'e str]) -> Option<&'e str> {
    let class = class.to_ascii_lowercase();
    let same = engines.iter().find(|name| **name == class);
    same.or_else(|| engines.iter().find(|name| name.ends_with(&class))).copied()
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    const ENGINES: [&str; 3] = ["local", "first", "htsecond"];

    fn written(python: &str) -> (String, Job) {
        let mut job = read(python).unwrap();
        (write(&mut job, &ENGINES), job)
    }

    /// Without the comments.
    fn keys(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.starts_with('#')).collect()
    }

    #[test]
    fn the_guides_job_becomes_a_job_file() {
        let (text, job) = written(
            r#"
j = Job(name="fit")
j.application = Executable(exe=File("/home/me/run.sh"), args=["--events", 1000])
j.application.env = {"OMP_NUM_THREADS": "4"}
j.virtualization = Singularity("docker://gitlab-registry.example/group/project:v1")
j.virtualization.mounts = {"/cvmfs": "/cvmfs", "/data/in": "/in"}
j.virtualization.tokenuser = "gitlab+deploy-token-1"
j.virtualization.tokenpassword = "gldt-secret"
j.virtualization.options = ["--nv"]
j.inputfiles = [LocalFile("cuts.json"), DiracFile("x.root"), LocalFile("a.txt", localDir="/in"), "/in/x:y/b", "*.dat"]
j.outputfiles = [LocalFile("*.root"), LocalFile("log.txt", localDir="/home/me/out"), "/tmp/x"]
j.backend = Second()
j.backend.queue = "short"
j.splitter = ArgSplitter(args=[["1"], ["2"]])
j.submit()
"#,
        );
        assert_eq!(
            keys(&text),
            [
                "name = \"fit\"",
                "image = \"gitlab-registry.example/group/project:v1\"",
                "exe = \"/home/me/run.sh\"",
                "command = [\"--events\", \"1000\"]",
                "env = { OMP_NUM_THREADS = \"4\" }",
                "mount = [\"/cvmfs\", \"/data/in:/in\"]",
                "runtime = \"apptainer\"",
                "option = [\"--nv\"]",
                "backend = \"htsecond\"",
                "queue = \"short\"",
                "input = [\"cuts.json\", \"/in/a.txt\", \"/in/x:y/b:b\"]",
                "output = [\"*.root\", \"log.txt\"]",
            ]
        );
        let token = job.token.as_ref().unwrap();
        assert!(token.user == "gitlab+deploy-token-1" && token.password.is_some());
        let notes = job.notes.join("\n");
        for word in ["Job.splitter", "/home/me/out", "DiracFile", "*.dat", "/tmp/x"] {
            assert!(notes.contains(word), "{word}: {notes}");
        }
        assert!(!format!("{text}{job:?}").contains("gldt-"), "{text}");
    }

    #[test]
    fn an_export_and_each_kind_of_image() {
        let image = |container: &str| {
            let python = format!(
                "#Ganga# File created by Ganga\n#Ganga#\nJob (\n name = 'x' ,\n application = Executable (\n exe = \
                 'echo' ,\n args = ['a'] ) ,\n virtualization = {container} ,\n backend = Local ( ) )\n"
            );
            let (text, _) = written(&python);
            keys(&text).iter().find_map(|line| line.strip_prefix("image = ")).unwrap().to_owned()
        };
        for (container, expected) in [
            ("Docker('fedora:latest')", "\"docker.io/fedora:latest\""),
            ("Docker(image='group/app')", "\"docker.io/group/app\""),
            ("Docker('registry.example:5000/a/b:v1')", "\"registry.example:5000/a/b:v1\""),
            ("Singularity('shub://a/b')", "\"shub://a/b\""),
            ("Singularity('/cvmfs/x.sif')", "\"/cvmfs/x.sif\""),
            ("Singularity(SharedFile('x.sif', locations=['/shared/']))", "\"/shared/x.sif\""),
            ("Singularity(SharedFile('x.sif', locations=['/s/x.sif']))", "\"/s/x.sif\""),
            ("Singularity(LocalFile('x.sif'))", "\"./x.sif\""),
            ("Singularity(DiracFile('x.sif', lfn=['/grid/x.sif']))", "\"lfn:/grid/x.sif\""),
        ] {
            assert_eq!(image(container), expected, "{container}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        use super::super::super::ImportError;
        let error = |python: &str| read(python).unwrap_err();
        assert_eq!(error("x = 1"), ImportError::NoJob);
        assert_eq!(error("Job()\nJob()"), ImportError::Several(2));
        assert_eq!(error("Job(application=Executable(exe='x'))"), ImportError::NoImage);
        let computed =
            "Job(application=Executable(exe='x', args=['a' + b]), virtualization=Docker('i'))";
        assert!(matches!(error(computed), ImportError::Value { line: 1, .. }));
    }
}
