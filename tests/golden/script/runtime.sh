# Data of one Moorline job; read by job.sh. Not a program.
# shellcheck shell=sh disable=SC1003,SC2016,SC2034,SC2154
runtime=auto
workdir='/jobs/x/work'
image='/store/it'\''s here/x.sif'
verb='exec'
job_run() {
    set --
    mount_silent '/cvmfs' '/cvmfs' ro && set -- "$@" "$bind" "$bound"
    mount_optional '/data' '/d' ro && set -- "$@" "$bind" "$bound"
    mount_required '/cvmfs' '/req uired' ro && set -- "$@" "$bind" "$bound"
    variable 'A' '$(touch /tmp/canary) '\''"\' && set -- "$@" --env "$variable"
    set -- "$@" '--nv'
    program "$@" "$image" 'sh' '-c' 'echo "$A" `id`; exit 3' '
'
}
