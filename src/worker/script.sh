
# what this script makes is private; the program gets the submitter's mask
mask=$(umask)
umask 077

say() {
    printf 'moorline: %s\n' "$*" >&2
}

# the script's own tools, also where the job's PATH is empty or leads nowhere; the program gets it as it is
tool() (
    PATH=${PATH:+$PATH:}/usr/bin:/bin:/usr/sbin:/sbin LC_ALL=C
    export PATH LC_ALL
    exec "$@"
)

sha256_of() {
    tool sha256sum <"$1" 2>/dev/null | tool cut -c 1-64
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

# ---- the worker -------------------------------------------------------------------------------

# an installed one first: profiles of AppArmor belong to a path. Then the one of the jobs directory, then
# one that was transferred. Whichever it is, its bytes are the job's.
why='the worker is neither installed on this node, nor in the jobs directory, nor beside the job: is the jobs directory on a file system that this node has?'
for moorline in "$(command -v moorline-worker)" "$(command -v moorline)" \
    /usr/bin/moorline-worker /usr/local/bin/moorline-worker \
    "$control/../../bin/$moorline_sha256/moorline" ./moorline; do
    [ -f "$moorline" ] || continue
    case $moorline in
    */bin/"$moorline_sha256"/moorline | ./moorline) ours=yes ;;
    *) ours= ;;
    esac
    # another version that is installed is nobody's fault
    if [ "$(sha256_of "$moorline")" != "$moorline_sha256" ]; then
        [ -z "$ours" ] || why='the worker has other bytes than the job was submitted with, or this node has no sha256sum'
        continue
    fi
    if [ ! -x "$moorline" ]; then
        why='the worker may not be executed here: is the jobs directory mounted noexec?'
        continue
    fi
    # another processor or C library
    if ! "$moorline" --version >/dev/null 2>&1; then
        why='the worker does not start on this node: it is for another processor or a younger C library'
        continue
    fi
    umask "$mask"
    # shellcheck disable=SC2093 # what cannot be executed was tried above
    exec "$moorline" worker --plan-sha256 "$plan_sha256" "$control"
done

# ---- without it nothing is started: why, and a minimal receipt --------------------------------

say "$why"
attempt=$(tool od -An -N16 -tx1 /dev/urandom | tool tr -d ' \n')
host=$(tool uname -n | tool tr -cd 'A-Za-z0-9._-')
# where an engine brings the files, only what lies there comes back
place=$control
case $control in
"$PWD/control") [ ! -f ./moorline ] || { place=$PWD/returned && tool mkdir -p "$place" work; } ;;
esac
# a task of an array has a directory of its own
case ${task:-} in
'' | *[!0-9]*) task= ;;
*) [ "$place" != "$control" ] || { place=$control/../tasks/$task/returned && tool mkdir -p "$place"; } ;;
esac
new=$place/.receipt-$attempt
if {
    printf '{"schema":1,"writer":"script","job":"%s","intent":"%s","nonce":"%s","attempt":"%s",' \
        "$job" "$intent" "$nonce" "$attempt"
    printf '"host":"%s","runtime":"none",' "$host"
    [ -z "$task" ] || printf '"task":%s,' "$task"
    [ -z "$pinned_sha256" ] || printf '"pinned":"sha256:%s",' "$pinned_sha256"
    [ -z "$sif_sha256" ] || printf '"expected":"sha256:%s",' "$sif_sha256"
    printf '"evidence":{"grade":"none"},"start":{"state":"refused","why":"%s"},' "$why"
    printf '"ended_at":"%s","exit_code":213}\n' "$(tool date -u +%Y-%m-%dT%H:%M:%SZ)"
} >"$new"; then
    tool mv "$new" "$place/receipt-$attempt.json" && exit 213
fi
tool rm -f "$new"
say 'warning: the receipt could not be written'
exit 213
