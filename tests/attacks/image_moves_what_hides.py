"""A hostile image holds a link where Moorline's own directory must be hidden, so that the empty directory
that hides it is mounted at the link's target and the job's nonce is seen."""

import lib


def attack(case):
    """the image's links do not move what hides the control directory"""
    home = case.make("project")
    state = case.make("project/state")
    env = {"XDG_STATE_HOME": state}
    # the job runs in a directory that holds the jobs directory: it must see none of its control directories
    image = case.sif(links=[("/work_dir/state", "/opt/elsewhere")])
    script = (
        "find /work_dir/state -name plan.json 2>/dev/null | grep . >/dev/null && echo SEEN;"
        "find /work_dir/state/moorline 2>/dev/null | grep -q control && echo looked; echo done"
    )
    done = case.call("moorline", "run", "--runtime", "builtin", image, "--", "sh", "-c", script, cwd=home, env=env)
    if "SEEN" in done.stdout:
        return lib.broken("the program read plan.json with the job's nonce")
    if "done" not in done.stdout:
        raise RuntimeError(f"the job did not run: {done.returncode} {done.stdout}{done.stderr}")
    return None


if __name__ == "__main__":
    lib.main(attack)
