"""A moorline.toml of a repository sets a variable that decides what runs, or a runtime option."""

import os

import lib

VARIABLES = ["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH", "GLIBC_TUNABLES", "BASH_ENV", "ENV",
             "PROMPT_COMMAND", "APPTAINER_BIND", "APPTAINERENV_LD_PRELOAD", "SINGULARITY_BINDPATH",
             "SINGULARITYENV_LD_PRELOAD", "PYTHONSTARTUP", "PERL5OPT", "NODE_OPTIONS", "RUBYOPT",
             "JAVA_TOOL_OPTIONS", "SHELLOPTS", "SLURM_EXPORT_ENV", "MOORLINE_LEDGER"]


def attack(case):
    image = case.sif()
    where = case.make("clone")

    def run(toml):
        case.write("clone/moorline.toml", toml)
        return case.call("moorline", "run", "--runtime", "builtin", image, "--", "/usr/bin/env", cwd=where)

    came = [name for name in VARIABLES if f"{name}=" in run(f"[submit.env]\n{name} = '/work_dir/evil'\n").stdout]
    if came:
        return lib.broken("the job got " + ", ".join(came))
    for key in ["option", "options"]:
        done = run(f'[submit]\n{key} = ["--bind", "/:/host"]\n')
        if done.returncode != 12:
            return lib.broken(f"[submit] {key} of a project file is accepted")
    # what is allowed is said before the job starts, and stands in the record
    done = run("[submit.env]\nOMP_NUM_THREADS = '4'\n")
    if "OMP_NUM_THREADS=4" not in done.stdout:
        return lib.broken(f"a harmless variable is lost: {done.stderr}")
    if "moorline.toml adds: variable OMP_NUM_THREADS=4" not in done.stderr:
        return lib.broken("what the project file adds is not said")
    job = [line.split()[-1] for line in done.stderr.splitlines() if line.startswith("recorded as ")][0]
    told = case.call("moorline", "audit", "job", job)
    if "moorline.toml adds: variable OMP_NUM_THREADS=4" not in told.stdout:
        return lib.broken("what the project file added is not in the record")
    os.remove(os.path.join(where, "moorline.toml"))
    return None


lib.main(attack)
