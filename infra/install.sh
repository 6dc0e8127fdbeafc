#!/bin/sh
# Installs the program `neap` of a release for this user, on Linux on x86-64 or arm64:
#
#   curl -fsSL URL/install.sh | sh -s -- --from URL
#
#   --from URL        the folder with the files of the release; or NEAP_INSTALL_URL
#   --to FOLDER       the folder for the program; ~/.local/bin by default
#   --signers FILE    refuse a release whose signature does not verify with this file of allowed signers; or
#                     NEAP_INSTALL_SIGNERS. Without it, only the checksum is verified, which comes from the same URL
#
# Nothing is executed or installed before it is verified. An existing program is replaced only after the new one has run.
set -eu

# Set by infra/packages/build.py in the script of a release whose URL is known.
DEFAULT_URL=""

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# download NAME BYTES: downloads a file of the release, of up to so many bytes, into the work folder.
download() {
    has curl || fail "needs curl"
    curl --fail --silent --show-error --location --proto-redir "$redirects" --max-filesize "$2" \
        --connect-timeout 30 --speed-time 60 --speed-limit 1000 --output "$work/$1" "$url/$1" || fail "can't download $url/$1"
}

sha256() {
    if has sha256sum; then
        sha256sum "$1"
    else
        shasum -a 256 "$1" || fail "needs sha256sum or shasum"
    fi | cut -d ' ' -f 1
}

options() {
    url="${NEAP_INSTALL_URL:-$DEFAULT_URL}" signers="${NEAP_INSTALL_SIGNERS:-}" folder="${HOME:+$HOME/.local/bin}"
    while [ "$#" -gt 0 ]; do
        case "$1" in
        --from | --to | --signers) [ "$#" -gt 1 ] || fail "$1 needs a value" ;;
        *) fail "unknown option $1. There are --from URL, --to FOLDER and --signers FILE" ;;
        esac
        case "$1" in
        --from) url="$2" ;;
        --to) folder="$2" ;;
        --signers) signers="$2" ;;
        esac
        shift 2
    done
    [ -n "$folder" ] || fail "HOME is not set: give --to FOLDER"
    url="${url%/}"
    case "$url" in
    *@*) fail "the URL must not have a user: $url" ;;
    "") fail "the URL of the release is missing: give --from URL, or set NEAP_INSTALL_URL" ;;
    https://*) redirects="=https" ;;
    http://127.0.0.1[:/]* | http://localhost[:/]*) redirects="=http,https" ;;
    # Without TLS, an attacker can change the archive together with its checksum.
    http://*)
        redirects="=http,https"
        [ -n "$signers" ] || fail "HTTP without TLS needs --signers FILE"
        ;;
    *) fail "not a URL: $url" ;;
    esac
}

detect_architecture() {
    [ "$(uname -s)" = Linux ] || fail "there is no program for $(uname -s), only for Linux"
    case "$(uname -m)" in
    x86_64 | amd64) architecture=x86_64 ;;
    aarch64 | arm64) architecture=aarch64 ;;
    *) fail "there is no program for $(uname -m), only for x86_64 and aarch64" ;;
    esac
}

verify_signature() {
    if [ -z "$signers" ]; then
        echo "The signature is not verified, only the checksum. --signers FILE verifies both."
        return
    fi
    has ssh-keygen || fail "needs ssh-keygen to verify the signature"
    download SHA256SUMS.sig 100000
    ssh-keygen -Y verify -f "$signers" -I neap-release -n neap-release -s "$work/SHA256SUMS.sig" <"$work/SHA256SUMS" ||
        fail "the signature of $url/SHA256SUMS does not verify"
}

# Downloads the archive for this machine and verifies it.
fetch_archive() {
    download SHA256SUMS 100000
    verify_signature
    pattern="neap-[0-9][0-9A-Za-z.+-]*-$architecture-linux[.]tar[.]gz"
    line="$(sed -n "s#^\([0-9a-f]\{64\}\) [ *]\(\./\)\{0,1\}\($pattern\)\$#\1 \3#p" "$work/SHA256SUMS")"
    case "$line" in
    "") fail "$url/SHA256SUMS names no archive for $architecture" ;;
    *"
"*) fail "$url/SHA256SUMS names several archives for $architecture" ;;
    esac
    archive="${line#* }"
    download "$archive" 1000000000
    [ "$(sha256 "$work/$archive")" = "${line%% *}" ] || fail "the checksum of $archive differs from SHA256SUMS"
}

install_program() {
    name="${archive%.tar.gz}"
    TAR_OPTIONS="" tar -xzf "$work/$archive" -C "$work" "$name/neap" || fail "can't unpack $archive"
    if [ ! -s "$work/$name/neap" ] || [ ! -f "$work/$name/neap" ] || [ -L "$work/$name/neap" ]; then
        fail "$archive has no program"
    fi
    mkdir -p -- "$folder" || fail "can't create $folder"
    [ ! -d "$folder/neap" ] || fail "$folder/neap is a folder"
    # In the folder itself, because mv is atomic within a file system.
    temporary="$(mktemp "$folder/.neap.XXXXXX")" || fail "can't write to $folder"
    cat "$work/$name/neap" >"$temporary" || fail "can't write to $folder"
    chmod 755 "$temporary"
    # The input of this script may be the script itself.
    version="$("$temporary" --version </dev/null)" || fail "the program does not run in $folder: it needs glibc 2.34 or newer"
    case "$version" in
    neap\ *) ;;
    *) fail "the program of $archive is not neap" ;;
    esac
    mv -f "$temporary" "$folder/neap"
    temporary=""
    echo "Installed $version as $folder/neap"
    case ":$PATH:" in
    *":$folder:"*) ;;
    *) echo "$folder is not in PATH. Add it: export PATH=\"$folder:\$PATH\"" ;;
    esac
}

main() {
    options "$@"
    detect_architecture
    work="$(mktemp -d)" temporary=""
    trap 'rm -rf "$work" ${temporary:+"$temporary"}' EXIT
    trap 'exit 1' HUP INT TERM
    fetch_archive
    install_program
}

# In the last line, so that an incomplete download of this script does nothing.
main "$@"
