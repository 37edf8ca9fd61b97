#!/usr/bin/env bash
# Builds a Debian package with nothing but dpkg-deb, and prints its path.
#
#   cargo build --locked --profile dist --target x86_64-unknown-linux-musl --package loadline
#   deploy/deb/build.sh target/x86_64-unknown-linux-musl/dist/loadline target
#
# From a static binary, so that one package fits every release of Debian. It is run to write the completions: build the package on the
# architecture that it is for. The same binary and commit give the same bytes.
set -euo pipefail

(($# == 2)) || { echo "usage: $0 BINARY DIRECTORY" >&2; exit 2; }
binary=$(realpath "$1")
output=$(realpath "$2")
cd "$(dirname "$0")/../.."
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
umask 022

# "loadline 0.1.0 (static, x86_64-unknown-linux-musl)"
read -r _ version linking target < <("$binary" version | tr -d '(),')
[[ $linking == static ]] || { echo "$binary is not a static binary" >&2; exit 1; }
case $target in
  x86_64-*) architecture=amd64 ;;
  aarch64-*) architecture=arm64 ;;
  *) echo "no Debian architecture is known for $target" >&2; exit 1 ;;
esac

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
documents=$root/usr/share/doc/loadline

install -D -m 755 "$binary" "$root/usr/bin/loadline"
install -D -m 644 deploy/systemd/loadline.service "$root/lib/systemd/system/loadline.service"
install -D -m 644 deploy/deb/loadline.toml "$root/etc/loadline/loadline.toml"
install -D -m 644 -t "$documents" README.md docs/*.md
gzip --best --no-name <CHANGELOG.md >"$documents/changelog.gz"
{
  printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n'
  printf 'Upstream-Name: loadline\n\nFiles: *\nCopyright: the loadline authors\nLicense: MIT or Apache-2.0\n\n'
  printf 'License: Apache-2.0\n On Debian, its text is in /usr/share/common-licenses/Apache-2.0.\n\nLicense: MIT\n'
  sed -e 's/^$/./' -e 's/^/ /' LICENSE-MIT
} >"$documents/copyright"
# completion SHELL PATH
completion() {
  mkdir -p "$(dirname "$root$2")"
  "$binary" completions "$1" >"$root$2"
}
completion bash /usr/share/bash-completion/completions/loadline
completion zsh /usr/share/zsh/vendor-completions/_loadline
completion fish /usr/share/fish/vendor_completions.d/loadline.fish

install -d "$root/DEBIAN"
install -m 755 -t "$root/DEBIAN" deploy/deb/postinst deploy/deb/prerm deploy/deb/postrm
echo /etc/loadline/loadline.toml >"$root/DEBIAN/conffiles"
(cd "$root" && find etc lib usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
cat >"$root/DEBIAN/control" <<END
Package: loadline
Version: $version
Architecture: $architecture
Maintainer: the loadline authors <loadline@example.com>
Installed-Size: $(du --summarize --apparent-size --block-size=1024 --exclude=DEBIAN "$root" | cut -f 1)
Section: httpd
Priority: optional
Description: load-shedding HTTP reverse proxy
 loadline keeps an HTTP service useful while it is asked for more than it can
 do: it passes a bounded number of requests to the service at one time, lets a
 bounded number wait, and rejects the rest at once, saying why.
END
package=$output/loadline_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" >/dev/null
echo "$package"
