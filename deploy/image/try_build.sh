#!/bin/sh
# Build the image without an engine and without a registry, and try what is in it. Needs root, buildah and util-linux.
#
#   deploy/image/try_build.sh ROOT [options of `buildah build`…]
#
# ROOT is a folder with what the Dockerfile's base image has: Debian, as debootstrap makes it, and Python 3.12 in
# /usr/local. Options are those by which pip reaches an index from here, such as --env or --volume. The image stays in
# TRY_BUILD_STORAGE, by default a new temporary folder.
set -eu

root=$1
shift
here=$(dirname "$(readlink -f "$0")")
checkout=$(readlink -f "$here/../..")
storage=${TRY_BUILD_STORAGE:-$(mktemp -d)}
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot

b() { buildah --root "$storage/root" --runroot "$storage/run" "$@"; }

# Under the name that the Dockerfile asks for, so that it is built as it is.
base=$(b from scratch)
b add --quiet "$base" "$root" /
b config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin "$base"
b commit --quiet --rm "$base" localhost/python:3.12-slim

b build --pull-never --format docker --layers --tag rowdock:try --file "$checkout/Dockerfile" "$@" "$checkout"
b inspect --type image --format '{{.Docker.Config.User}} {{.Docker.Config.Entrypoint}} {{.Docker.Config.Cmd}}' rowdock:try

# As composition and pods run it: nobody's user, nothing to write but /tmp, and nothing of the environment of here.
container=$(b from --pull-never rowdock:try)
tree=$(b mount "$container")
export tree
unshare --mount --pid --fork sh -eu -c '
  mount --bind "$tree" "$tree"
  mount -t proc proc "$tree/proc"
  mount -t tmpfs tmpfs "$tree/tmp"
  mount -o remount,bind,ro "$tree"
  cd "$tree" && exec env -i PATH=/opt/rowdock/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin PYTHONDONTWRITEBYTECODE=1 ROWDOCK_HOST=0.0.0.0 \
    ROWDOCK_PORT=8000 ROWDOCK_OPS_PORT=9464 ROWDOCK_INSTANCE=try HOME=/ \
    chroot --userspec=10001:10001 "$tree" sh -c "cd /app && exec python -"
' <"$here/look_inside.py"
echo "the image is rowdock:try in $storage; to remove it: rm -r $storage"
