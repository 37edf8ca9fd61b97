#!/usr/bin/env bash
# The Debian package: built twice to the same bytes, installed below a scratch directory, run, and removed.
#
#   .ci/deb.sh target/x86_64-unknown-linux-musl/release/loadline
set -euo pipefail
exec </dev/null

loadline=$(realpath "$1")
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() { echo "FAILED: $*"; exit 1; }

mkdir "$work/one" "$work/two"
package=$(deploy/deb/build.sh "$loadline" "$work/one")
again=$(deploy/deb/build.sh "$loadline" "$work/two")
cmp "$package" "$again" || fail 'the same binary gives two packages'
dpkg-deb --info "$package"
dpkg-deb --contents "$package" | awk '{ print $1, $2, $6 }' >"$work/contents"
! grep -v ' root/root ' "$work/contents" || fail 'a file is not of root'
! grep -E '^.{5}w|^.{8}w' "$work/contents" || fail 'a file can be written by others'
for path in usr/bin/loadline lib/systemd/system/loadline.service etc/loadline/loadline.toml \
  usr/share/bash-completion/completions/loadline usr/share/doc/loadline/copyright usr/share/doc/loadline/configuration.md; do
  grep -q " \./$path$" "$work/contents" || fail "$path is missing"
done

# Whose scripts find no system to tell anything, and do nothing.
root=$work/root
mkdir -p "$root/var/lib/dpkg/"{info,updates}
: >"$root/var/lib/dpkg/status"
in_root() { PATH=$PATH:/usr/sbin:/sbin dpkg --root="$root" --force-not-root --force-script-chrootless --log="$work/dpkg.log" "$@"; }
in_root --install "$package"
"$root/usr/bin/loadline" version
"$root/usr/bin/loadline" check -c "$root/etc/loadline/loadline.toml"
(cd "$root" && md5sum --quiet --ignore-missing --check "var/lib/dpkg/info/loadline.md5sums") || fail 'the sums are wrong'
# What the unit runs is what the package brings.
while read -r path; do
  [[ -e $root$path ]] || fail "the unit names $path, which is not there"
done < <(sed -n 's/^Exec[A-Za-z]*=\(\/usr\/bin\/loadline\) .*-c \(.*\)$/\1\n\2/p' "$root/lib/systemd/system/loadline.service")

echo '# mine' >>"$root/etc/loadline/loadline.toml"
in_root --install "$package"
grep -q '^# mine$' "$root/etc/loadline/loadline.toml" || fail 'an upgrade overwrote the configuration'
in_root --remove loadline
[[ -e $root/etc/loadline/loadline.toml && ! -e $root/usr/bin/loadline ]] || fail 'removal takes the wrong files'
in_root --purge loadline
[[ ! -e $root/etc/loadline ]] || fail 'purging leaves the configuration'
echo 'all good'
