"""The DVC remote: where it is, and in about a second what is wrong with it."""

import os
from pathlib import Path
from typing import Any

from esteira.line.errors import UserError

# What S3 answers, and what to do about it.
ANSWERS = {
    "NoSuchBucket": "the bucket {bucket!r} does not exist{there}: create it, or correct the url.",
    "404": "the bucket {bucket!r} does not exist{there}: create it, or correct the url.",
    "AccessDenied": "these credentials may not list {bucket!r}: give the role s3:ListBucket and "
    "s3:GetObject (.github/aws/role-read.json).",
    "403": "these credentials may not list {bucket!r}: give the role s3:ListBucket and "
    "s3:GetObject (.github/aws/role-read.json).",
    "InvalidAccessKeyId": "the server{there} does not know the access key AWS_ACCESS_KEY_ID: "
    "it belongs to another account or was deleted.",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID.",
    "ExpiredToken": "the session's token has expired: sign in again.",
    "InvalidToken": "AWS_SESSION_TOKEN is not valid: sign in again, or unset it.",
    "PermanentRedirect": "the bucket {bucket!r} is in another region: set `region` of the remote.",
    "AuthorizationHeaderMalformed": "the bucket {bucket!r} is in another region: set `region` of "
    "the remote.",
}


def default() -> dict[str, Any]:
    """Return the default remote of .dvc/config, with `url` and its options. Raises UserError."""
    from dvc.config import Config, ConfigError

    if not Path(".dvc").is_dir():
        raise UserError("there is no .dvc folder here: run this in the project's folder.")
    try:
        config = Config(str(Path(".dvc").absolute()))
    except ConfigError as error:
        raise UserError(f".dvc/config cannot be read: {error}") from None
    name = config["core"].get("remote")
    if not name:
        raise UserError("no remote is set: `uv run dvc remote add --default storage URL`.")
    if name not in config["remote"]:
        raise UserError(f"core.remote names {name!r}, which .dvc/config does not define.")
    return dict(config["remote"][name])


def check_s3(options: dict[str, Any]) -> None:
    """List one object of an S3 remote. Raises UserError that says what to mend."""
    import botocore.session
    from botocore import exceptions as refused
    from botocore.config import Config

    bucket, _, prefix = options["url"].removeprefix("s3://").partition("/")
    endpoint = options.get("endpointurl") or None
    there = f" at {endpoint}" if endpoint else ""
    session = botocore.session.Session(profile=options.get("profile"))
    patience = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 1})
    try:
        client: Any = session.create_client(
            "s3",
            region_name=options.get("region")
            or session.get_config_variable("region")
            or "us-east-1",
            endpoint_url=endpoint,
            aws_access_key_id=options.get("access_key_id"),
            aws_secret_access_key=options.get("secret_access_key"),
            aws_session_token=options.get("session_token"),
            config=patience,
        )
        client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except refused.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "?")
        said = error.response.get("Error", {}).get("Message", "no reason given")
        answer = ANSWERS.get(code, f"the server{{there}} answers {code}: {said}")
        raise UserError(answer.format(bucket=bucket, there=there)) from None
    except (refused.NoCredentialsError, refused.PartialCredentialsError):
        raise UserError(
            "no complete credentials: sign in (`aws sso login`), or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY; in CI set the variable AWS_ROLE_READ (.github/SETUP.md)."
        ) from None
    except refused.ProfileNotFound as error:
        raise UserError(f"{error}: correct `profile` of the remote, or AWS_PROFILE.") from None
    except (refused.ConnectionError, refused.HTTPClientError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"no S3 server answers{there}: {reason} Is endpointurl right?") from None
    except refused.ParamValidationError:
        raise UserError(
            f"{bucket!r} is no bucket's name: correct the url in .dvc/config."
        ) from None
    except refused.BotoCoreError as error:
        raise UserError(f"S3 cannot be used: {' '.join(str(error).split())}") from None


def check() -> str:
    """Return what the remote is, in one sentence. Raises UserError where it cannot be used."""
    options = default()
    url = options["url"]
    if url.startswith("s3://"):
        check_s3(options)
        return f"{url} answers, and these credentials may read it."
    if "://" in url:
        return f"{url} is set; only s3:// and folders are checked."
    if not Path(url).is_dir():
        raise UserError(
            f"the remote is the folder {url}, which is not on this machine: "
            "`uv run dvc push` makes it where the data is."
        )
    if not os.access(url, os.W_OK):
        raise UserError(f"the folder {url} cannot be written to: mend its rights.")
    return f"{url} is a folder on this machine; use s3://… to share it."


def unusable() -> str:
    """Return why data cannot be had from the remote here, or "" where it can."""
    try:
        check()
    except UserError as error:
        return str(error)
    return ""
