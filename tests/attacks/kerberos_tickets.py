"""A job uses the Kerberos tickets of the login without being given them, or given tickets leak and stay."""
# Security issue, item 7. A real KDC on loopback, as the attack's own user.

import glob
import os
import shutil
import socket
import subprocess
import time

import lib

REALM = "MOORLINE.TEST"


class Kdc:
    """krb5kdc with a database of its own."""

    def __init__(self, case):
        self.case = case
        place = case.make("kdc")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        case.write("kdc/krb5.conf", f"""[libdefaults]
 default_realm = {REALM}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 rdns = false
[realms]
 {REALM} = {{
  kdc = 127.0.0.1:{port}
 }}
""")
        case.write("kdc/kdc.conf", f"""[kdcdefaults]
 kdc_listen = 127.0.0.1:{port}
 kdc_tcp_listen = 127.0.0.1:{port}
[realms]
 {REALM} = {{
  database_name = {place}/principal
  key_stash_file = {place}/stash
  acl_file = {place}/kadm5.acl
  max_life = 10h
 }}
[logging]
 kdc = FILE:{place}/log
""")
        self.env = {"KRB5_CONFIG": f"{place}/krb5.conf", "KRB5_KDC_PROFILE": f"{place}/kdc.conf"}
        case.call("kdb5_util", "create", "-s", "-r", REALM, "-P", "master", env=self.env, check=True)
        for query in ("addprinc -pw password alice", "addprinc -randkey host/somewhere"):
            case.call("kadmin.local", "-r", REALM, "-q", query, env=self.env, check=True)
        self.process = case.popen("krb5kdc", "-n", "-r", REALM, env=self.env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError("the KDC does not start") from None
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def holding(directory, what):
    """Files below a directory that hold some bytes."""
    found = []
    for path in glob.glob(directory + "/**", recursive=True, include_hidden=True):
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "rb") as file:
                if what in file.read():
                    found.append(os.path.relpath(path, directory))
    return found


def attack(case):
    """a job has no tickets but a copy that --krb gave it, which is gone when it has ended"""
    for program in ("krb5kdc", "kadmin.local", "kdb5_util", "kinit", "kvno", "keyctl"):
        if not shutil.which(program, path=case.env["PATH"]):
            raise lib.Skip(f"{program} is not installed (krb5-kdc, krb5-admin-server, krb5-user, keyutils)")
    kdc = Kdc(case)
    try:
        return tried(case, kdc)
    finally:
        kdc.stop()


def tried(case, kdc):
    uid = case.user.pw_uid if case.user else os.geteuid()
    with open(kdc.env["KRB5_CONFIG"], encoding="utf-8") as file:
        sif = case.sif(files=[("/etc/krb5.conf", file.read(), 0o644)],
                       programs=[*lib.PROGRAMS, "/usr/bin/klist", "/usr/bin/kvno"])
    work = case.make("work")
    # a service's ticket is asked for with the job's own: they work, not only look so
    use = ("echo \"cache=$KRB5CCNAME\"; klist 2>&1 && kvno --no-store host/somewhere 2>&1; "
           "ls -l ${KRB5CCNAME#FILE:} 2>&1; echo x >>${KRB5CCNAME#FILE:}")

    ring = "KEYRING:session:attack"
    done = case.call("keyctl", "session", "-", "sh", "-c",
                     'printf password | kinit alice >/dev/null && exec "$0" -q run --runtime builtin '
                     '--env KRB5CCNAME=$KRB5CCNAME "$1" -- /bin/sh -c "klist 2>&1; kvno host/somewhere 2>&1"',
                     case.moorline, sif, cwd=work, env={**kdc.env, "KRB5CCNAME": ring})
    if "kvno = " in done.stdout:
        return lib.broken("a job without tickets of its own used those of the login's keyring")
    if not any(why in done.stdout for why in ("No credentials cache found", "not found", "not permitted")):
        raise RuntimeError(f"the attack did not run: {done.stdout}{done.stderr}")

    # each kind that is copied
    directory = case.make("caches")
    case.write("default.conf", f"[libdefaults]\n default_ccache_name = FILE:{case.dir}/by-default\n"
                               f"include {kdc.env['KRB5_CONFIG']}\n")
    kinds = [f"FILE:{case.dir}/tickets", f"DIR:{directory}", f"DIR::{directory}/tktother", "KEYRING:session:one",
             "KEYRING:legacy-name", f"KEYRING:persistent:{uid}", "KEYRING:user:two", ""]
    runtimes = ["builtin"] + [name for name in ("apptainer",) if shutil.which(name)]
    for cache in kinds:
        for runtime in runtimes:
            if not cache:
                env = {**kdc.env, "KRB5_CONFIG": case.dir + "/default.conf"}
                unset = "unset KRB5CCNAME; "
            else:
                env, unset = {**kdc.env, "KRB5CCNAME": cache}, ""
            line = (f"{unset}printf password | kinit alice >/dev/null && exec \"$0\" run --krb --runtime {runtime} "
                    f"\"$1\" -- /bin/sh -c \"$2\"")
            done = case.call("keyctl", "session", "-", "sh", "-c", line, case.moorline, sif, use, cwd=work, env=env)
            for expected in ("cache=FILE:/run/moorline/krb5cc", "alice@" + REALM, "kvno = ", "-rw-------"):
                if expected not in done.stdout:
                    raise RuntimeError(f"{cache or 'the default'} with {runtime} gives no {expected}: "
                                       f"{done.stdout}{done.stderr}")
            if "Read-only file system" not in done.stderr:
                return lib.broken(f"{runtime}: the tickets in the container can be written: {done.stderr}")
            if case.call("klist", env={**kdc.env, "KRB5CCNAME": f"FILE:{case.dir}/none"}).returncode == 0:
                raise RuntimeError("klist finds tickets that are not there")

    # what cannot be copied is refused by name, before anything else, and the hint works
    for cache in ("KCM:", "MEMORY:x", "API:x", "KEYRING:process:x", f"KEYRING:persistent:{uid + 1}"):
        done = case.call("moorline", "run", "--krb", sif, "--", "true", env={**kdc.env, "KRB5CCNAME": cache})
        if done.returncode == 0 or cache not in done.stderr or "kinit -c FILE:" not in done.stderr:
            return lib.broken(f"{cache}: {done.returncode} {done.stderr}")
    hint = case.call("sh", "-c", "printf password | kinit -c FILE:$HOME/.krb5cc-jobs alice && "
                                 "export KRB5CCNAME=FILE:$HOME/.krb5cc-jobs && "
                                 f'"{case.moorline}" run --krb "{sif}" -- klist', env=kdc.env)
    if "alice@" not in hint.stdout:
        raise RuntimeError(f"the hint does not work: {hint.stdout}{hint.stderr}")
    empty = case.call("moorline", "run", "--krb", sif, "--", "true",
                      env={**kdc.env, "KRB5CCNAME": f"FILE:{case.dir}/none"})
    if empty.returncode != 3 or "kinit" not in empty.stderr:
        return lib.broken(f"no tickets: {empty.returncode} {empty.stderr}")

    # submitted: the file is private while the job runs, and gone when it has ended; nothing else holds a ticket
    place = f"FILE:{case.home}/.krb5cc-jobs"
    with open(place[5:], "rb") as file:
        ticket = file.read()[-200:]
    env = {**kdc.env, "KRB5CCNAME": place}
    job = case.call("moorline", "submit", "--krb", "--runtime", "builtin", sif, "--", "/bin/sh", "-c",
                    "klist && until [ -e go ]; do sleep 0.1; done", env=env, check=True).stdout.strip()
    jobs = os.path.join(case.env["XDG_STATE_HOME"], "moorline/jobs")
    beside = os.path.join(jobs, job, "control/krb5cc")
    deadline = time.monotonic() + 60
    while b"alice@" not in open(os.path.join(jobs, job, "stdout"), "rb").read():
        if time.monotonic() > deadline:
            with open(os.path.join(jobs, job, "stderr"), encoding="utf-8") as file:
                raise RuntimeError(f"the job does not start: {file.read()}")
        time.sleep(0.05)
    if os.stat(beside).st_mode & 0o7777 != 0o600:
        return lib.broken("the tickets beside a job can be read by others")
    elsewhere = [name for name in holding(case.home, ticket) if not name.endswith(("control/krb5cc", ".krb5cc-jobs"))]
    words = subprocess.run(["ps", "-eo", "args", "e"], capture_output=True, check=True).stdout
    if elsewhere or ticket in words:
        return lib.broken(f"a ticket stands in {elsewhere or 'a command line'}")
    # another job of the same user, with the jobs' directory in sight, does not see them
    spy = case.call("moorline", "-q", "run", "--runtime", "builtin", "--mount", case.home + ":/all", sif, "--", "/bin/sh",
                    "-c", f"cat /all/.local/state/moorline/jobs/{job}/control/krb5cc; find /all -name krb5cc")
    if spy.stdout:
        return lib.broken(f"another job finds the tickets: {spy.stdout!r}")
    case.write(os.path.relpath(os.path.join(jobs, job, "work/go"), case.dir), "")
    waited = case.call("moorline", "wait", job)
    if waited.returncode != 0:
        raise RuntimeError(f"the job failed: {waited.stderr}")
    # and that of a worker that was killed goes when somebody asks for the job
    killed = case.call("moorline", "submit", "--krb", "--runtime", "builtin", sif, "--", "/bin/sh", "-c",
                       "klist; sleep 1000", env=env, check=True).stdout.strip()
    until = time.monotonic() + 60
    while b"alice@" not in open(os.path.join(jobs, killed, "stdout"), "rb").read():
        if time.monotonic() > until:
            raise RuntimeError("the second job does not start")
        time.sleep(0.05)
    case.call("moorline", "cancel", killed, check=True)
    case.call("moorline", "wait", killed)
    left = [path for path in glob.glob(jobs + "/*/control/krb5cc")]
    if left:
        return lib.broken(f"tickets stay when their job has ended: {left}")
    # a second run of the same job gets new ones, and without any it is refused
    again = case.call("moorline", "rerun", "--wait", job, env={**kdc.env, "KRB5CCNAME": f"FILE:{case.dir}/none"})
    if again.returncode != 3:
        return lib.broken(f"a job that needs tickets is repeated without: {again.returncode} {again.stderr}")
    return None


lib.main(attack)
