"""Receipts, file names, registries and configuration files send escape sequences to the terminal, by every verb that prints."""

import hashlib
import http.server
import io
import json
import os
import re
import tarfile
import threading

import lib

# one of each kind: CSI, OSC, C1 CSI, BEL, CR, DEL, bidirectional, zero-width, tag characters
CORPUS = ["\x1b[31m", "\x1b]0;title\x07", "\x9b2J", "\x07", "\r", "\x7f", "\u061c", "\u200b", "\u200e", "\u202e",
          "\u2066", "\u2069", "\ufeff", "\u00ad", "\u2028", "\U000e0041", "\ufe0f"]
TEXT = "A" + "".join(f"{part}." for part in CORPUS) + "Z\nwarning: forged"
NAME = TEXT.replace("/", "")  # a file's name may hold a line end
HARMFUL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
                     "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]")


# documents that a registry gives by tag or digest: an image whose author wrote the corpus wherever text may stand
GOOD = {}


def good_image():
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in ("bin/" + TEXT.replace("/", "").replace("\n", "") + ".link", "etc/passwd"):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = 1, 0o755
            tar.addfile(entry, io.BytesIO(b"x"))
    layer = layer.getvalue()

    def blob(data, media):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        GOOD[digest] = data
        return {"mediaType": media, "digest": digest, "size": len(data)}

    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    labels = {name: TEXT for name in (
        "org.opencontainers.image.revision", "org.opencontainers.image.source", "org.opencontainers.image.version",
        "org.opencontainers.image.created", "org.opencontainers.image.title", "maintainer", TEXT)}
    config = json.dumps({"architecture": machine, "os": "linux", "author": TEXT, "config": {
        "Env": ["PATH=/bin", f"{TEXT}={TEXT}"], "Cmd": [TEXT], "Entrypoint": [TEXT], "WorkingDir": "/" + TEXT,
        "User": TEXT, "Labels": labels}, "history": [{"created_by": TEXT, "comment": TEXT}],
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [{**blob(layer, "application/vnd.oci.image.layer.v1.tar"), "annotations": {TEXT: TEXT}}],
        "annotations": labels}).encode()
    blob(manifest, "")
    GOOD["good"] = manifest


# an engine's commands that answer with the corpus
ENGINE = {
    "sbatch": "echo 4711",
    "squeue": "cat $0.said; cat $0.said >&2; exit 0",
    "sacct": "cat $0.said; cat $0.said >&2; exit 0",
    "scontrol": "cat $0.said",
    "scancel": "cat $0.said >&2; exit 1",
    "sinfo": "cat $0.said",
}


class Liar(http.server.BaseHTTPRequestHandler):
    """A registry that answers by the tag that it is asked for."""

    def do_GET(self):
        kind = self.path.rsplit("/", 1)[-1]
        head, body, status = {}, b"", 200
        if kind == "error":
            status, body = 404, json.dumps({"errors": [{"code": TEXT, "message": TEXT}]}).encode()
        elif kind == "page":
            body = f"<html><title>{TEXT}</title>".encode()
        elif kind == "type":
            body = json.dumps({"schemaVersion": 2, "mediaType": TEXT, "layers": []}).encode()
        elif kind == "index":
            body = json.dumps({"schemaVersion": 2, "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": "sha256:" + "0" * 64, "size": 2,
                "platform": {"os": "linux", "architecture": TEXT}}]}).encode()
        elif kind == "realm":
            status, head = 401, {"WWW-Authenticate": f'Bearer realm="https://{"".join(CORPUS[6:8])}x/",service="s"'}
        elif kind == "negotiate":
            status, head = 401, {"WWW-Authenticate": "Other" + "\x9b"}
        elif kind == "redirect":
            status, head = 307, {"Location": "http://169.254.169.254/" + "x"}
        elif kind in GOOD:
            head, body = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}, GOOD[kind]
        elif kind == "broken":
            body = ('{"schemaVersion":2,"config":"' + json.dumps(TEXT)[1:-1] + '","layers":[]}').encode()
        self.send_response(status)
        for name, value in head.items():
            # send_header takes Latin-1 only
            self._headers_buffer.append(f"{name}: {value}\r\n".encode())
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def attack(case):
    good_image()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    at = f"127.0.0.1:{server.server_port}"
    spoiled = []
    seen = set()

    def look(*args, env=None, cwd=None, **kwargs):
        if any("\0" in arg for arg in args):
            raise RuntimeError("no argument can hold that")
        done = case.call("moorline", *args, env=env, cwd=cwd, **kwargs)
        words = " ".join(arg for arg in args if not HARMFUL.search(arg))
        for name, text in (("stdout", done.stdout), ("stderr", done.stderr)):
            found = HARMFUL.search(text) or re.search("^warning: forged", text, re.M)
            if found:
                spoiled.append(f"{words} ({name}: {text[max(0, found.start() - 30):found.end() + 10]!r})")
            if re.search("A[^A]*Z", text):
                seen.add(words)
        return done

    # a job, and what it can write into its own directory afterwards
    archive = case.archive(programs=["/bin/sh", "/bin/true"])
    ran = look("run", "docker-archive:" + archive, "--", "/bin/sh", "-c", "exit 0")
    jobs = case.env["XDG_STATE_HOME"] + "/moorline/jobs"
    ids = sorted(os.listdir(jobs)) if os.path.isdir(jobs) else []
    if ran.returncode == 0 and ids:
        job = ids[0]
        control = os.path.join(jobs, job, "control")
        for name in os.listdir(control):
            if name.startswith("receipt") and name.endswith(".json"):
                path = os.path.join(control, name)
                with open(path, encoding="utf-8") as file:
                    receipt = json.load(file)
                receipt.update(host=TEXT, notes=[TEXT], rootfs=TEXT, writer=TEXT, engine=[TEXT])
                with open(path, "w", encoding="utf-8") as file:
                    json.dump(receipt, file)
                with open(os.path.join(control, "receipt-" + NAME + ".json"), "w", encoding="utf-8") as file:
                    file.write("{" + TEXT)
                case.own(os.path.join(control, "receipt-" + NAME + ".json"))
        os.makedirs(os.path.join(jobs, NAME), exist_ok=True)
        for verb in (["jobs"], ["--json", "jobs"], ["status", job], ["--json", "status", job], ["wait", job],
                     ["audit", "job", job], ["--json", "audit", "job", job], ["audit", "verify"], ["ledger", "collect"],
                     ["recover"], ["rerun", job], ["cancel", job], ["audit", "image", "sha256:" + "0" * 64]):
            look(*verb)
    # what a job is called, and what the worker of a `run` warns of and refuses by name
    missing, at_most = "/nowhere/" + TEXT.replace("/", "").replace("\n", " "), "/opt/" + NAME.replace("\n", " ")
    image = "docker-archive:" + archive
    for flags in (["--name", TEXT], ["--mount", f"type=bind,source={missing},target=/x"],
                  ["--mount", f"type=bind,source={missing},target=/y,required"],
                  ["--mount", f"type=bind,source=/etc,target={at_most}"],
                  ["--mount", f"type=bind,source=/etc,target=/bin/sh/{NAME.replace(chr(10), ' ')}"],
                  ["--env", "A=" + TEXT], ["--env", TEXT], ["--option", TEXT], ["--require", TEXT],
                  ["--platform", TEXT], ["--runtime", TEXT], ["--network", TEXT], ["--grace", TEXT], ["--krb"]):
        look("run", "--runtime", "builtin", *flags, image, "--", "/bin/true", env={"KRB5CCNAME": "KCM:" + NAME})
    look("run", image, "--", TEXT)
    look("run", image, "--", "./" + NAME)
    for verb in (["jobs"], ["--json", "jobs"], ["status", "last"], ["--json", "status", "last"], ["audit", "job", "last"],
                 ["--json", "audit", "job", "last"], ["rerun", "last", "--wait"], ["ledger", "verify"],
                 ["ledger", "collect"], ["audit", "verify"], ["recover"]):
        look(*verb)
    # an engine that answers with it
    engine = case.make("engine", 0o755)
    row = "|".join([TEXT.replace("\n", " ")] * 9)
    for name, script in ENGINE.items():
        case.write("engine/" + name, "#!/bin/sh\n" + script + "\n", 0o755)
        case.write(f"engine/{name}.said", f"4711|{row}\n{row}\nslurm_load_jobs error: {TEXT}\n")
    path = {"PATH": engine + ":" + case.env["PATH"]}
    sent = look("submit", "--backend", "slurm", image, "--", "/bin/true", env=path).stdout.split()
    for verb in (["jobs"], ["--json", "jobs"], ["status", *sent], ["--json", "status", *sent], ["audit", "job", *sent],
                 ["cancel", *sent], ["recover"], ["submit", "--backend", "slurm", "--dry-run", image, "--", "true"]):
        look(*verb, env=path)
    case.write("engine/sbatch", "#!/bin/sh\ncat $0.said >&2; exit 1\n", 0o755)
    look("submit", "--backend", "slurm", image, "--", "/bin/true", env=path)
    # an image whose author wrote it into every field, from a registry
    label = case.make("labels")
    case.write("labels/moorline.toml", f'[images]\nx = "{at}/a/b:good"\n')
    sif = os.path.join(case.dir, "labels.sif")
    insecure = ["--insecure-registry", at]
    for verb in (["resolve", "x"], ["--json", "resolve", "x"], ["-vv", "resolve", "x"], ["lock"], ["--json", "lock"],
                 ["lock", "--check"], ["audit", "drift"], ["--json", "audit", "drift"], ["convert", "x", "-o", sif],
                 ["--json", "convert", "x"], ["verify", sif], ["--json", "verify", sif],
                 ["verify", sif, "--from", f"{at}/a/b:good"], ["run", "--locked", "x"], ["run", "x", "--", "/bin/" + NAME],
                 ["submit", "--dry-run", "x"], ["submit", "--wait", "x"], ["jobs"], ["status", "last"],
                 ["audit", "job", "last"], ["logs", "--stderr", "last"], ["tags", f"{at}/a/b"], ["inspect", "x"],
                 ["login", at, "--username", TEXT, "--password-stdin"], ["cache", "ls"], ["cache", "verify"]):
        look(*insecure, *verb, cwd=label)
    # job files, and a pipe as one
    for text in (f"image = {json.dumps(NAME)}\n", f"{json.dumps('x' + NAME)} = 1\n", TEXT, f"runtime = {json.dumps('y' + NAME)}\n"):
        job_file = case.write("job.toml", text)
        look("submit", "--dry-run", "-f", job_file)
        look("submit", "--dry-run", "-f", "/dev/stdin", stdin=open(job_file, "rb"))
    # names of files, arguments, the environment (not the path that `convert -o` prints into a pipe: a script
    # needs it as it is)
    odd = case.write(NAME, b"no image " + TEXT.encode())
    for verb in (["run", odd], ["verify", odd], ["convert", "docker-archive:" + odd], ["convert", "oci:" + odd],
                 ["--ca-file", odd, "resolve", f"{at}/a/b:error"], ["--config", odd, "jobs"],
                 ["resolve", "--digest-file", odd, "--project", "a/b"], ["status", TEXT], ["audit", "job", TEXT],
                 ["audit", "image", TEXT], ["resolve", TEXT], ["resolve", "--platform", TEXT.split("\n")[0], "a/b:c"],
                 ["cache", "ls"], ["--json", "cache", "ls"], ["cache", "verify"], ["config", "show"], ["--json", "config", "show"],
                 ["cache", "prune"]):
        look(*verb)
    # what a registry says
    for kind in ("error", "page", "type", "index", "realm", "negotiate", "redirect", "broken"):
        for verb in (["resolve"], ["--json", "resolve"], ["-vv", "resolve"], ["auth-explain"], ["--json", "auth-explain"]):
            look("--insecure-registry", at, *verb, f"{at}/a/b:{kind}")
    keys = json.dumps({"auths": {f"{at}/{TEXT}": {}, TEXT: {"auth": TEXT}}, "credHelpers": {TEXT: TEXT}})
    for verb in (["auth-explain"], ["--json", "auth-explain"]):
        look("--insecure-registry", at, *verb, f"{at}/a/b:error", env={"DOCKER_AUTH_CONFIG": keys})
    # a project's files
    project = case.make("project")
    quoted = json.dumps(TEXT)  # TOML's basic strings have the same escapes, but for those beyond U+FFFF
    quoted = re.sub(r"\\ud([89ab]..)\\ud([c-f]..)", "\\\\U000e0041", quoted)
    for name, text in (("moorline.toml", f"[images]\n{quoted} = {quoted}\n"), ("moorline.toml", f"{quoted} = 1\n"),
                       ("moorline.toml", "[submit]\n" + TEXT), ("moorline.lock", f"schema = 1\nx = {quoted}\n"), ("moorline.lock", TEXT)):
        case.write("project/" + name, text)
        for verb in (["config", "show"], ["lock"], ["resolve", "x"], ["audit", "drift"], ["run", "--locked", "x"]):
            look(*verb, cwd=project)
        os.remove(os.path.join(project, name))
    server.shutdown()
    if spoiled:
        return lib.broken(f"{len(spoiled)} printing paths, such as {spoiled[0]}; {spoiled[-1]}")
    if not ids:
        raise RuntimeError(f"no job could be run: {ran.stderr}")
    # rerun asks no engine, so it has nothing foreign to print
    silent = [verb for verb in ("audit", "resolve", "convert", "auth-explain", "lock", "config", "run", "submit", "status",
                                "jobs", "ledger", "verify")
              if not any(verb in words.split() for words in seen)]
    if silent:
        raise RuntimeError(f"{silent} never printed the corpus: {sorted(seen)}")
    return f"{len(seen)} printing paths show it harmless"


lib.main(attack)
