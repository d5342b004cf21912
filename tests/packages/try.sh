#!/bin/sh
# Installs one package in the tree where this runs as root, and tries it as an ordinary user.
#
#   try.sh wheel | archive | deb | rpm | cargo | image
#
# The package is in /dist (that of cargo in /extra). The image that the job runs in is the OCI archive of
# /dist. tests/env/package-tree.sh says where this runs.
set -eu

kind=$1
user=physicist
home=/home/$user
PAGES="man/man1/moorline.1 man/man1/moorline-submit.1"

die() {
    printf 'try.sh: %s: %s\n' "$kind" "$*" >&2
    exit 1
}
only() { # FILES: the one file that a pattern means
    if [ $# != 1 ] || [ ! -e "$1" ]; then die "not one file: $*"; fi
    printf '%s\n' "$1"
}
as_user() { setpriv --reuid=$user --regid=$user --clear-groups --no-new-privs -- env HOME=$home USER=$user "$@"; }

useradd --create-home --uid 59998 --shell /bin/sh $user
cd $home
archive=oci-archive:$(only /dist/moorline-*.oci.tar)

case $kind in
wheel)
    as_user python3 -m venv $home/venv
    as_user $home/venv/bin/pip install --quiet --no-index --disable-pip-version-check "$(only /dist/*.whl)"
    bin=$home/venv/bin share=$home/venv/share
    ;;
archive)
    as_user mkdir $home/.local
    as_user tar -xzf "$(only /dist/*-x86_64-linux.tar.gz)" -C $home/.local --strip-components=1
    bin=$home/.local/bin share=$home/.local/share
    ;;
deb)
    package=$(only /dist/*_amd64.deb)
    dpkg -i "$package" >/dev/null
    [ ! -e /etc/apparmor.d/moorline ] || die "a profile that this system's AppArmor cannot read"
    # as on a system with AppArmor 4
    mkdir -p /etc/apparmor.d/abi
    touch /etc/apparmor.d/abi/4.0
    dpkg -P moorline >/dev/null
    [ ! -e /usr/bin/moorline ] || die "it stays after dpkg -P"
    dpkg -i "$package" >/dev/null
    for name in moorline moorline-worker; do
        grep -q "profile $name /usr/bin/$name " /etc/apparmor.d/$name || die "no profile for $name"
    done
    bin=/usr/bin share=/usr/share
    ;;
rpm)
    # there is no glibc in the database of a Debian tree
    rpm -i --nodeps "$(only /dist/*.x86_64.rpm)"
    rpm -q --requires moorline | grep -qx 'glibc >= 2.17' || die "it does not say which glibc it needs"
    bin=/usr/bin share=/usr/share
    ;;
cargo) bin=/extra/bin share='' ;;
image) bin=/usr/bin share=/usr/share ;;
*) die "unknown" ;;
esac
PATH=$bin:$PATH
export PATH

version=$(as_user moorline --version)
printf '%s: %s, ' "$kind" "$version"
as_user moorline-worker --version
if [ -n "$share" ]; then
    for page in $PAGES bash-completion/completions/moorline; do
        # a .deb has manual pages compressed
        [ -s "$share/$page" ] || [ -s "$share/$page.gz" ] || die "no $share/$page"
    done
    find "$share" -name _moorline | grep -q . || die "no completions for zsh"
    find "$share" -name moorline.fish | grep -q . || die "no completions for fish"
fi

mkdir /work_of_user
chown $user: /work_of_user
cd /work_of_user
# shellcheck disable=SC2016  # for the job's shell
as_user moorline submit --backend local "$archive" sh -c 'echo "hello from $(cat /etc/debian_version)"; moorline --version' >id
as_user moorline wait "$(cat id)"
as_user moorline logs "$(cat id)" >log
grep -q '^hello from 1' log || die "the job said $(cat log)"
grep -qxF "$version" log || die "the moorline of the image said $(cat log)"
as_user moorline audit job "$(cat id)" >verdict
grep -q '^verdict: Match' verdict || die "audit: $(cat verdict)"
tail -n 1 verdict

if [ "$kind" = deb ]; then
    dpkg -P moorline >/dev/null
    if [ -e /usr/bin/moorline ] || [ -e /etc/apparmor.d/moorline ]; then die "something stays after dpkg -P"; fi
fi
