#!/bin/sh
# Runs a command in a fresh clone of one commit, with the packages of the image:
#   in-clone REPOSITORY REVISION FOLDER COMMAND …
# REVISION is a branch, a tag or a commit; FOLDER the project's, from the root of the repository.
# Where Git is asked for a password it answers GIT_TOKEN, which stands in no argument and no file.
set -eu
repository=$1 revision=$2 folder=$3
shift 3
export GIT_TERMINAL_PROMPT=0
# shellcheck disable=SC2016 # Git's own shell expands them
answer='!f() { test "$1" = get && printf "username=x-access-token\npassword=%s\n" "$GIT_TOKEN"; }; f'
clone=$(mktemp -d)
if [ -n "${GIT_TOKEN:-}" ]; then
  git -c credential.helper= -c credential.helper="$answer" clone --quiet --no-checkout "$repository" "$clone"
else
  git clone --quiet --no-checkout "$repository" "$clone"
fi
cd "$clone"
commit=$(git rev-parse --verify --quiet "refs/remotes/origin/$revision^{commit}" ||
  git rev-parse --verify --quiet "$revision^{commit}") || {
  echo "in-clone: $repository has no branch, tag or commit $revision." >&2
  exit 2
}
git checkout --quiet --detach "$commit"
cd "$folder"
unset GIT_TOKEN # what runs here needs no way to the repository
exec "$@"
