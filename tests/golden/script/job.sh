#!/bin/sh
# Moorline job 01hf7yat000000000000000007: starts it on this worker. Made by a program; holds identifiers only.
job=01hf7yat000000000000000007
intent=02020202020202020202020202020202
nonce=03030303030303030303030303030303
plan_sha256=64879f7d6b960a01909762d911a32d4582c20010c5641ee90278b644a9e3b525
runtime_sha256=f6e013f2b7be54b7b2515dfa6dda80857c8a017dbf7f7773f319ad709d55b554
moorline_sha256=9a3a45d01531a20e89ac6ae10b0b0beb0492acd7216a368aa062d1a5fecaf9cd
pinned_sha256=
sif_sha256=6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d

# what this script makes is private; the program gets the submitter's mask, and its image's locale
mask=$(umask)
umask 077

say() {
    printf 'moorline: %s\n' "$*" >&2
}

sha256_of() {
    LC_ALL=C sha256sum <"$1" 2>/dev/null | cut -c 1-64
}

# ---- where the job's files are ----------------------------------------------------------------

control=${1:-${MOORLINE_CONTROL:-}}
if [ -z "$control" ]; then
    case $0 in
    */*) control=${0%/*} ;;
    *) control=. ;;
    esac
fi
case $control in
/*) ;;
*) control=$PWD/$control ;;
esac

# ---- the binary: does everything else when it is here -----------------------------------------

for moorline in "$control/../../bin/$moorline_sha256/moorline" ./moorline; do
    if [ -x "$moorline" ] && [ "$(sha256_of "$moorline")" = "$moorline_sha256" ]; then
        umask "$mask"
        exec "$moorline" worker --plan-sha256 "$plan_sha256" "$control"
    fi
done

# ---- without it: an installed runtime, and a minimal receipt ----------------------------------

# what runtime.sh fills in
runtime=auto
workdir=
image=
verb='exec'
program_umask=

attempt=$(LC_ALL=C od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
host=$(uname -n | LC_ALL=C tr -cd 'A-Za-z0-9._-')
found=none
grade=none
measured=
measured_at=
started_at=

now() {
    date -u +%Y-%m-%dT%H:%M:%SZ
}

# receipt CODE WHY: WHY is one of this script's own sentences
receipt() {
    new=$control/.receipt-$attempt
    {
        printf '{"schema":1,"writer":"script","job":"%s","intent":"%s","nonce":"%s","attempt":"%s",' \
            "$job" "$intent" "$nonce" "$attempt"
        printf '"host":"%s","runtime":"%s","rootfs":"runtime",' "$host" "$found"
        [ -z "$pinned_sha256" ] || printf '"pinned":"sha256:%s",' "$pinned_sha256"
        [ -z "$sif_sha256" ] || printf '"expected":"sha256:%s",' "$sif_sha256"
        printf '"evidence":{"grade":"%s"' "$grade"
        [ -z "$measured" ] || printf ',"sif":"sha256:%s","measured_at":"%s"' "$measured" "$measured_at"
        if [ -n "$started_at" ]; then
            printf '},"start":{"state":"started","at":"%s"},' "$started_at"
        else
            printf '},"start":{"state":"refused","why":"%s"},' "$2"
        fi
        printf '"ended_at":"%s","exit_code":%d}\n' "$(now)" "$1"
    } >"$new" || say 'warning: the receipt could not be written'
    mv "$new" "$control/receipt-$attempt.json" || say 'warning: the receipt could not be written'
}

refuse() {
    say "$2"
    receipt "$1" "$2"
    exit "$1"
}

# csv KEY PATH: one field of a CSV record; a quote is doubled
csv() {
    case $2 in
    *[,\"]*) printf '"%s=%s"' "$1" "$(printf '%s' "$2" | sed 's/"/""/g')" ;;
    *) printf '%s=%s' "$1" "$2" ;;
    esac
}

# mount SOURCE TARGET ro|rw: sets bind and bound to the runtime's words for it
mount_here() {
    case $control/ in
    "${1%/}"/*) refuse 214 'a mount above the control directory needs the moorline binary on this worker' ;;
    esac
    [ -e "$1" ] || return 1
    # shellcheck disable=SC2034 # for runtime.sh
    bind=$plain bound=$1:$2:$3
    case $1$2 in
    *[:,\"\\]*)
        # the short form splits at these; the long one is a CSV record with both runtimes
        # shellcheck disable=SC2034 # for runtime.sh
        bind=--mount bound=type=bind,$(csv source "$1"),$(csv destination "$2")
        [ "$3" != ro ] || bound=$bound,ro
        ;;
    esac
}

mount_silent() {
    mount_here "$@"
}

mount_optional() {
    mount_here "$@" && return
    say "warning: $1 is not mounted at $2: it is not on this worker"
    return 1
}

mount_required() {
    mount_here "$@" && return
    say "the required mount $1 is not on this worker"
    refuse 212 'a required mount is missing'
}

# variable NAME VALUE: apptainer takes it from its own environment, docker as a word
variable() {
    case $found in
    docker)
        # shellcheck disable=SC2034 # for runtime.sh
        variable=$1=$2
        return 0
        ;;
    esac
    export "APPTAINERENV_$1=$2" "SINGULARITYENV_$1=$2"
    return 1
}

# the file's identity, before and after: the runtime opens the path by itself
identity() {
    stat -L -c '%d %i %s %Y %Z' -- "$image" 2>/dev/null
}

program() {
    case $workdir in
    *[:,]*) refuse 214 'a working directory with a colon or comma needs the moorline binary' ;;
    esac
    case $control/ in
    "${workdir%/}"/*) refuse 214 'a working directory above the control directory needs the moorline binary' ;;
    esac
    scratch=$control/runtime-$attempt
    mkdir "$scratch" "$scratch/cache" "$scratch/tmp" "$scratch/run" "$scratch/empty" ||
        refuse 217 'no scratch directory could be made'
    # apptainer binds the machine's /tmp by itself
    case $found$control in
    docker*) ;;
    */tmp/*) set -- --bind "$scratch/empty:$control:ro" "$@" ;;
    esac
    APPTAINER_CACHEDIR=$scratch/cache SINGULARITY_CACHEDIR=$scratch/cache
    APPTAINER_TMPDIR=$scratch/tmp SINGULARITY_TMPDIR=$scratch/tmp
    XDG_RUNTIME_DIR=$scratch/run
    export APPTAINER_CACHEDIR SINGULARITY_CACHEDIR APPTAINER_TMPDIR SINGULARITY_TMPDIR XDG_RUNTIME_DIR
    for name in TERM SLURM_JOB_ID SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID SLURM_CPUS_PER_TASK \
        SLURM_PROCID OMP_NUM_THREADS CUDA_VISIBLE_DEVICES; do
        eval "value=\${$name-}"
        [ -z "$value" ] || export "APPTAINERENV_$name=$value" "SINGULARITYENV_$name=$value"
    done
    cd "$workdir" || refuse 214 'the working directory cannot be entered'
    started_at=$(now)
    exec 3<&0
    case $found in
    docker)
        docker run --rm --name "moorline-$job" --user "$(id -u):$(id -g)" --cap-drop ALL \
            --security-opt no-new-privileges --volume "$workdir:/work_dir" --workdir /work_dir "$@" <&3 &
        ;;
    *)
        umask "$mask"
        "$found" -q "$verb" --cleanenv --bind "$workdir:/work_dir" --pwd /work_dir --no-home "$@" <&3 &
        ;;
    esac
    child=$!
    umask 077
    trap 'stop TERM 143' TERM
    trap 'stop INT 130' INT
    wait "$child"
    code=$?
    trap '' TERM INT
    rm -rf "$scratch"
    # docker's own failures
    [ "$found$code" != docker125 ] || code=214
    if [ "$grade" = measured ] && [ "$(identity)" != "$before" ]; then
        say 'warning: the image was changed while it ran'
        grade=none
        measured=
    fi
    receipt "$code" ''
    exit "$code"
}

stop() {
    trap '' TERM INT
    [ "$found" != docker ] || docker kill --signal "$1" "moorline-$job" >/dev/null 2>&1
    kill -s TERM "$child" 2>/dev/null
    wait "$child" 2>/dev/null
    rm -rf "$scratch"
    receipt "$2" ''
    exit "$2"
}

[ "$(sha256_of "$control/runtime.sh")" = "$runtime_sha256" ] ||
    refuse 211 'runtime.sh is missing or was changed'
# shellcheck source=/dev/null
. "$control/runtime.sh"
[ -z "$program_umask" ] || mask=$program_umask

works() {
    command -v "$1" >/dev/null 2>&1 && "$1" --version >/dev/null 2>&1
}

if [ -n "$sif_sha256" ]; then
    for candidate in apptainer singularity; do
        case $runtime in
        auto | "$candidate") works "$candidate" && found=$candidate && break ;;
        esac
    done
    [ "$found" != none ] ||
        refuse 213 'neither the moorline binary nor a container runtime is on this worker'
    plain=--bind
    [ -r "$image" ] || refuse 210 'the image is not there'
    before=$(identity)
    measured=$(sha256_of "$image")
    measured_at=$(now)
    grade=measured
    [ "$measured" = "$sif_sha256" ] ||
        refuse 211 'the image has other bytes than the job is pinned to'
else
    docker version >/dev/null 2>&1 ||
        refuse 213 'neither the moorline binary nor docker is on this worker'
    found=docker
    grade='runtime-reported'
    plain=--volume
fi
job_run
