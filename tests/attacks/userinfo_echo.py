"""A user and a password in a reference, a registry or a server are repeated on standard error."""

import lib

SECRET = "hunter2-glpat-0123456789"
HOST = f"user:{SECRET}@registry.example"
URL = f"https://user:{SECRET}@gitlab.example"
IMAGE = HOST + "/group/project:v1"
QUERY = f"https://gitlab.example/group/project?private_token={SECRET}"
DIGEST = "sha256:" + "0" * 64

ARGUMENTS = [
    *[[verb, *flags, image, *rest]
      for verb, flags, rest in [("resolve", [], []), ("auth-explain", [], []), ("convert", [], []), ("verify", [], []),
                                ("run", [], ["--", "true"]), ("submit", [], ["--", "true"]),
                                ("audit", ["image"], [])]
      for image in [IMAGE, URL + "/group/project:v1", "docker://" + IMAGE, "oras://" + IMAGE, "shub://" + IMAGE,
                    f"{HOST}/group/project@{DIGEST}", f"{SECRET}@registry.example/a/b:v1", QUERY]
      # a file may have such a name
      if verb != "verify" or image != f"{SECRET}@registry.example/a/b:v1"],
    ["login", HOST, "--username", "x"],
    ["login", HOST + "/group", "--username", "x"],
    ["login", URL, "--username", "x"],
    ["login", "--api", URL],
    ["login", "--api", QUERY],
    ["login", "registry.example", "--username", "x", "--realm", URL],
    ["logout", HOST],
    ["logout", "--api", URL],
    ["--insecure-registry", HOST, "resolve", "registry.example/a/b:c"],
    ["--insecure-registry", URL, "resolve", "registry.example/a/b:c"],
    ["resolve", "--project", URL + "/group/project", "--ref", "main"],
    ["resolve", "--project", HOST + "/group/project"],
    ["resolve", "--project", "group/project", "--repository", URL],
    ["convert", "--push", IMAGE, "registry.example/a/b:c"],
    ["resolve", "--platform", URL, "registry.example/a/b:c"],
    ["run", "--mount", URL, "registry.example/a/b:c"],
    ["submit", "--backend", URL, "registry.example/a/b:c"],
    ["lock", "--update", IMAGE],
    [IMAGE],
    [URL],
    ["jobs", URL],
    ["config", "show", URL],
    ["cache", URL],
    ["resolve", "--no-such-flag", URL],
    ["resolve", f"--{URL}"],
]

ENVIRONMENTS = [
    {"MOORLINE_REGISTRY": HOST, "MOORLINE_USERNAME": "x", "MOORLINE_PASSWORD": "y"},
    {"https_proxy": f"socks5://user:{SECRET}@proxy.example"},
    {"https_proxy": f"http://user:{SECRET}@"},
    {"https_proxy": f"http://user:{SECRET}@127.0.0.1:1"},
    {"DOCKER_AUTH_CONFIG": '{"auths":{"%s":{"auth":"bad"}}}' % URL},
    {"CI_SERVER_URL": URL, "GITLAB_CI": "true", "CI_REGISTRY": HOST},
]


def attack(case):
    worked = []
    case.make("home/.config/moorline")
    case.write("home/.config/moorline/config.toml", "[gitlab]\nurl = 'https://127.0.0.1:1'\nregistry = '127.0.0.1:1'\n")

    def look(said, argv, **kwargs):
        done = case.call("moorline", *argv, timeout=60, **kwargs)
        if SECRET in done.stdout + done.stderr:
            worked.append(said)

    for argv in ARGUMENTS:
        look(" ".join(argv).replace(SECRET, "SECRET"), argv)
    for env in ENVIRONMENTS:
        said = " ".join(f"{k}={v}" for k, v in env.items()).replace(SECRET, "SECRET")
        look(said, ["auth-explain", "127.0.0.2:1/a/b:c"], env=env)
        look(said, ["resolve", "127.0.0.2:1/a/b:c"], env=env)
    case.make("clone")
    for line in [f'analysis = "{IMAGE}"', f'analysis = "{URL}/a/b:c"', f'analysis = "oras://{IMAGE}"',
                 f'analysis = {{ project = "{URL}/a/b" }}']:
        case.write("clone/moorline.toml", f"[images]\n{line}\n")
        look("moorline.toml: " + line.replace(SECRET, "SECRET"), ["resolve", "analysis"], cwd=case.dir + "/clone")
    case.write("clone/moorline.toml", "")
    case.make("clone/.git")
    for url in [f"{URL}/group/project.git", f"{HOST}:group/project.git", f"{URL}/"]:
        case.write("clone/.git/config", f'[remote "origin"]\n\turl = {url}\n')
        look("remote " + url.replace(SECRET, "SECRET"), ["resolve", "--ref", "main"], cwd=case.dir + "/clone")
    for key, value in [("image", IMAGE), ("image", URL), ("project", URL), ("backend", URL), ("platform", URL)]:
        case.write("clone/job.toml", f'{key} = "{value}"\n')
        look(f"job file: {key}", ["submit", "-f", "job.toml", "--", "true"], cwd=case.dir + "/clone")
    return lib.broken(f"{len(worked)} times: " + "; ".join(worked)) if worked else None


lib.main(attack)
