"""A file with a token is named as a digest file, and its text comes back in the error; or others wrote the file."""

import os

import lib

TOKEN = "glpat-hunter2-0123456789"
DIGEST = "sha256:" + "1" * 64


def attack(case):
    case.make("home/.config/moorline")
    case.write("home/.config/moorline/config.toml", "[gitlab]\nurl = 'https://127.0.0.1:1'\nregistry = '127.0.0.1:1'\n")

    def resolve(env=None):
        return case.call("moorline", "resolve", "--project", "group/project", "--digest-file", "digest", env=env)

    for text in [TOKEN, TOKEN + "\n", DIGEST + "\n" + TOKEN, "user:" + TOKEN, f"https://user:{TOKEN}@gitlab.example",
                 f"registry.example/group/project@{TOKEN}", '{"auths":{"r":{"auth":"%s"}}}' % TOKEN, "{" + TOKEN,
                 '{"containerimage.digest":"%s"}' % TOKEN, "[default]\ntoken = " + TOKEN]:
        case.write("digest", text)
        done = resolve()
        if TOKEN in done.stdout + done.stderr:
            return lib.broken("the error repeats what the file holds: " + done.stderr.strip())
    case.write("digest", DIGEST, 0o666)
    done = resolve()
    if done.returncode != 2 or "everybody may write it" not in done.stderr:
        return lib.broken("a digest file that everybody can write was used")
    # GitLab's executors clone under umask 0000
    done = resolve({"GITLAB_CI": "true", "CI_PROJECT_DIR": case.dir})
    if "everybody may write it" in done.stderr:
        return lib.broken("in a job of GitLab CI the artifact is refused")
    os.remove(os.path.join(case.dir, "digest"))
    return None


lib.main(attack)
