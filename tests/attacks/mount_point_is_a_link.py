"""A job leaves a link where a later job's mount goes: `data -> /dev/shm` in the working directory.

The later job asks for its data read-only. Followed, the link puts the data at the link's target, where
nothing says read-only, nosuid or nodev; and a mount that the job requires is not where it looks for it.
"""

import os

import lib


def attack(case):
    sif = case.sif()
    data = case.make("data")
    case.write("data/precious", "precious")
    work = case.make("project")
    for target, write in [("/dev/shm", "/dev/shm/precious"), ("/tmp", "/tmp/precious"), ("/opt", "/opt/precious")]:
        for name in ["data", "a/b"]:
            for link in [os.path.join(work, "data"), os.path.join(work, "a")]:
                if os.path.islink(link):
                    os.remove(link)
            # the first job is any program that writes into its working directory
            where = name.split("/")[0]
            case.call("moorline", "run", sif, "--", "ln", "-s", target, where, cwd=work, check=True)
            if name != where:
                # the link stands above the mount point
                continue_at = f"mkdir -p {target}/b"
            else:
                continue_at = "true"
            mount = f"{data}:/work_dir/{name}:ro:required"
            script = f"{continue_at} 2>/dev/null; echo overwritten >{write}; cat /work_dir/{name}/precious"
            done = case.call("moorline", "run", "--mount", mount, sif, "--", "sh", "-c", script, cwd=work)
            with open(os.path.join(data, "precious"), encoding="utf-8") as kept:
                if kept.read() != "precious":
                    return lib.broken(f"the data was written through {target}, mounted read-only at a link")
            if done.returncode == 0:
                return lib.broken(f"the mount was made at {target}, where a link at /work_dir/{where} leads")
            if f"/work_dir/{where}" not in done.stderr:
                return lib.broken(f"what stands in the way is not named: {done.stderr.strip()}")
    return "refused by name"


if __name__ == "__main__":
    lib.main(attack)
