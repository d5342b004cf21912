#!/bin/bash
# A real Slurm for the tests: controller, node, accounting (slurmdbd with MariaDB) and munge, all on
# loopback, with every file below one directory and ports of its own, so that a Slurm, a MariaDB or a
# munge of the machine itself is not touched.
#
#   tests/env/slurm.sh start DIR     install what is missing (as root), start, write DIR/env
#   tests/env/slurm.sh stop DIR      end the jobs, then the daemons, by the pids kept in DIR/pids
#
# DIR/env is to be sourced (`. DIR/env`): it sets SLURM_CONF and MOORLINE_TEST_SLURM_USER, the
# ordinary account that submits. DIR must be reachable by that account (not below /root).
# proctrack/pgid and task/none need no cgroup: this also runs in a container without systemd. The price
# is that a process that calls setsid outlives its job here; proctrack/cgroup would share its folder
# with a Slurm of the machine, and proctrack/linuxproc loses every double fork. MOORLINE_SLURM_PROCTRACK
# (pgid, linuxproc) chooses.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

PACKAGES="munge slurmctld slurmd slurm-client slurmdbd slurm-wlm-basic-plugins slurm-wlm-mysql-plugin mariadb-server"
TEST_USER=moorline-test
PROCTRACK=${MOORLINE_SLURM_PROCTRACK:-pgid}

say() { echo "slurm.sh: $*" >&2; }
die() { say "$*"; exit 1; }

# ---- processes: a line "pid starttime name" each; a pid whose start time differs is another process
start_time() { # PID -> field 22 of /proc/PID/stat; the name in field 2 may hold spaces
    local stat; stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # shellcheck disable=SC2086
    set -- ${stat##*) }; echo "${20}"
}
same_process() { [ "$(start_time "$1" || true)" = "$2" ]; }
background() { # NAME USER CMD...
    local name=$1 user=$2; shift 2
    setsid setpriv --reuid "$user" --regid "$user" --init-groups -- "$@" \
        </dev/null >>"$DIR/log/$name.out" 2>&1 &
    local pid=$!
    disown "$pid"
    echo "$pid $(start_time "$pid") $name" >>"$DIR/pids"
}
alive() { # NAME
    local pid began name
    while read -r pid began name; do
        [ "$name" = "$1" ] && same_process "$pid" "$began" && return 0
    done <"$DIR/pids"
    return 1
}
until_true() { # SECONDS WHAT CMD...
    local end=$((SECONDS + $1)) what=$2; shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || { tail -n 5 "$DIR"/log/*.out >&2 2>/dev/null || true; die "$what did not come up"; }
        sleep 0.2
    done
}
free_port() { # FROM -> the first port from there that nobody listens on
    local port=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}

# ---- packages
install_missing() {
    local missing="" p
    for p in $PACKAGES; do
        dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null | grep -qx installed || missing="$missing $p"
    done
    [ -z "$missing" ] && return 0
    command -v apt-get >/dev/null || die "no apt-get here; missing:$missing"
    say "installing with apt-get:$missing"
    # Debian starts a package's daemon when it is installed, which here would be a second, unwanted one.
    local policy=/usr/sbin/policy-rc.d ours=""
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod 755 "$policy"; ours=1
    fi
    local failed=""
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends $missing \
        >"$DIR/log/apt.log" 2>&1 || {
        apt-get -o DPkg::Lock::Timeout=600 update -qq >>"$DIR/log/apt.log" 2>&1 || true
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y -qq --no-install-recommends $missing \
            >>"$DIR/log/apt.log" 2>&1 || failed=1
    }
    [ -z "$ours" ] || rm -f "$policy"
    [ -z "$failed" ] || { tail -n 20 "$DIR/log/apt.log" >&2; die "apt-get could not install:$missing"; }
}

# ---- configuration
write_configuration() {
    local host; host=$(hostname -s)
    [ -e "$DIR/munge.key" ] || head -c 1024 /dev/urandom >"$DIR/munge.key"
    chown munge:munge "$DIR/munge.key" "$DIR/munge"; chmod 400 "$DIR/munge.key"
    local ctld slurmd dbd
    ctld=$(free_port 16817); slurmd=$(free_port $((ctld + 1))); dbd=$(free_port $((slurmd + 1)))
    cat >"$DIR/slurmdbd.conf" <<X
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$dbd
SlurmUser=slurm
PidFile=$DIR/run/slurmdbd.pid
LogFile=$DIR/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StorageLoc=slurm_acct_db
X
    cat >"$DIR/slurm.conf" <<X
ClusterName=mooring
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$ctld
SlurmdPort=$slurmd
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/socket
CredType=cred/munge
ProctrackType=proctrack/$PROCTRACK
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=2
KillWait=5
EnforcePartLimits=ALL
SlurmdParameters=config_overrides
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool
SlurmctldPidFile=$DIR/run/slurmctld.pid
SlurmdPidFile=$DIR/run/slurmd.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd.log
JobAcctGatherType=jobacct_gather/linux
JobCompType=jobcomp/filetxt
JobCompLoc=$DIR/log/jobcomp.log
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$dbd
AccountingStoragePass=$DIR/munge/socket
AccountingStoreFlags=job_comment,job_env,job_script
MinJobAge=300
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=2000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=1:00:00 State=UP OverSubscribe=FORCE:4
X
    echo 'CgroupPlugin=cgroup/v1' >"$DIR/cgroup.conf"
    chown slurm "$DIR/slurmdbd.conf"; chmod 600 "$DIR/slurmdbd.conf"
    chown -R slurm "$DIR/state" "$DIR/run"; chmod 700 "$DIR/state"
    touch "$DIR/log/jobcomp.log"; chown slurm "$DIR/log" "$DIR/log/jobcomp.log"
}

# ---- verbs
start() {
    [ "$(id -u)" = 0 ] || die "start needs root: it runs daemons as several users"
    mkdir -p "$DIR/log"; chmod 755 "$DIR"
    if [ -s "$DIR/env" ] && [ -s "$DIR/pids" ] && alive munged && alive mariadbd && alive slurmdbd && alive slurmctld && alive slurmd; then
        say "already running in $DIR"; return 0
    fi
    stop
    install_missing
    [ "${#DIR}" -le 80 ] || die "$DIR is too long: a socket's path has at most 107 characters"
    id -u "$TEST_USER" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh "$TEST_USER"
    setpriv --reuid "$TEST_USER" --regid "$TEST_USER" --clear-groups test -x "$DIR" \
        || die "$TEST_USER cannot reach $DIR: choose a directory that everybody may enter"
    mkdir -p "$DIR"/{munge,mysql,mysqld,state,spool,run}; chmod 755 "$DIR/munge"
    : >"$DIR/pids"
    trap stop EXIT # of a start that fails half-way
    write_configuration

    background munged munge munged --foreground --key-file="$DIR/munge.key" --socket="$DIR/munge/socket" \
        --pid-file="$DIR/munge/pid" --seed-file="$DIR/munge/seed" --log-file="$DIR/munge/log"
    until_true 20 munged munge --socket="$DIR/munge/socket" -n

    chown mysql:mysql "$DIR/mysql" "$DIR/mysqld"
    [ -d "$DIR/mysql/mysql" ] || mariadb-install-db --no-defaults --user=mysql --datadir="$DIR/mysql" \
        --auth-root-authentication-method=socket --skip-test-db >"$DIR/log/mariadb-install-db.out" 2>&1 \
        || die "mariadb-install-db failed: see $DIR/log/mariadb-install-db.out"
    background mariadbd mysql mariadbd --no-defaults --datadir="$DIR/mysql" --socket="$DIR/mysqld/socket" \
        --pid-file="$DIR/mysqld/pid" --skip-networking --innodb-buffer-pool-size=64M --plugin-maturity=gamma
    until_true 60 mariadbd mariadb --no-defaults -S "$DIR/mysqld/socket" -e 'select 1'
    mariadb --no-defaults -S "$DIR/mysqld/socket" -e "create database if not exists slurm_acct_db;
        create user if not exists slurm@localhost identified via unix_socket;
        grant all on slurm_acct_db.* to slurm@localhost"

    export SLURM_CONF="$DIR/slurm.conf"
    background slurmdbd slurm env SLURM_CONF="$SLURM_CONF" MYSQL_UNIX_PORT="$DIR/mysqld/socket" slurmdbd -D
    until_true 60 slurmdbd sacctmgr -n -i show cluster
    sacctmgr -n show cluster format=cluster%32 | grep -qw mooring || sacctmgr -i -Q add cluster mooring >/dev/null
    background slurmctld slurm env SLURM_CONF="$SLURM_CONF" slurmctld -D
    background slurmd root env SLURM_CONF="$SLURM_CONF" slurmd -D
    until_true 60 "the node" node_is_up
    {
        echo "export SLURM_CONF='$DIR/slurm.conf'"
        echo "export MOORLINE_TEST_SLURM_USER='$TEST_USER'"
    } >"$DIR/env"
    trap - EXIT
    say "$(slurmctld -V) is up; use it with:  . $DIR/env"
}

node_is_up() {
    sinfo -h -o %t | grep -qE '^(idle|mix|alloc)$' && return 0
    # an earlier start may have left it drained; the controller remembers
    scontrol update "NodeName=$(hostname -s)" State=RESUME
    return 1
}
queue_is_empty() { [ -z "$(squeue -h -o %A)" ]; }

stop() {
    [ -s "$DIR/pids" ] || return 0
    if alive slurmctld && alive slurmd; then
        export SLURM_CONF="$DIR/slurm.conf"
        local id end=$((SECONDS + 20))
        for id in $(timeout 10 squeue -h -o %A 2>/dev/null); do timeout 10 scancel "$id" || true; done
        until queue_is_empty 2>/dev/null || [ "$SECONDS" -ge "$end" ]; do sleep 0.2; done
    fi
    local pid began name end
    # the last one that was started goes first
    while read -r pid began name; do
        same_process "$pid" "$began" || continue
        kill "$pid" 2>/dev/null || true
        end=$((SECONDS + 20))
        while same_process "$pid" "$began"; do
            if [ "$SECONDS" -ge "$end" ]; then
                say "$name ($pid) did not end, killing it"; kill -9 "$pid" 2>/dev/null || true
            fi
            sleep 0.1
        done
    done < <(tac "$DIR/pids")
    rm -f "$DIR/pids" "$DIR/env"
}

[ $# = 2 ] || die "usage: slurm.sh start|stop DIR"
mkdir -p "$2"; DIR=$(cd "$2" && pwd -P)
case $1 in
    start) start ;;
    stop) stop ;;
    *) die "usage: slurm.sh start|stop DIR" ;;
esac
