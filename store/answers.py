"""What an object store answers, as a sentence for whoever must act.

Reads messages only: delta-rs, polars and obstore share one client below, and its words.
"""

from __future__ import annotations

# Signs of an answer that stays the same until a person changes something, and what to say then;
# the first that fits. `403 Forbidden` comes with all of the later ones.
_REFUSALS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("NoSuchBucket",),
        (
            "There is no bucket {bucket}. Make it where your object store is managed, or name"
            " another one in AFTERSHOCK_STORE."
        ),
    ),
    (
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "301 Moved"),
        (
            "The bucket {bucket} lies in another region than was asked. Name its region in"
            " AWS_REGION, or in the profile that AWS_PROFILE names."
        ),
    ),
    (
        ("ExpiredToken", "RequestExpired"),
        (
            "The credentials for {place} have expired. Sign in again (`aws sso login`, or"
            " whatever gave them to you) and run the same command again."
        ),
    ),
    (
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "401 Unauthorized"),
        (
            "The object store does not take the credentials it was shown for {place}. Check"
            " AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile that AWS_PROFILE names;"
            " and AWS_ENDPOINT_URL, if the keys are not Amazon's."
        ),
    ),
    (
        ("AccessDenied", "403 Forbidden", "lacked the necessary privileges"),
        (
            "These credentials may not do that in {place}. They have to be allowed to list the"
            " bucket and to get, put and delete its objects (for the dashboard alone: to list and"
            " get)."
        ),
    ),
)
_AWAY = (
    "error sending request",
    "tcp connect error",
    "dns error",
    "Connection refused",
    "operation timed out",
    "503 Service Unavailable",
    "500 Internal Server Error",
    "SlowDown",
)


def refusal(error: BaseException, place: str) -> str | None:
    """The sentence for an object store that does not serve us until a person changes something:
    the bucket, the keys, their rights, the settings. None for anything else."""
    if "://" not in place:
        return None
    text = str(error)
    bucket = place.split("://", 1)[1].split("/", 1)[0]
    for signs, sentence in _REFUSALS:
        if any(sign in text for sign in signs):
            return sentence.format(bucket=bucket, place=place)
    return None


def away(error: BaseException, place: str) -> str | None:
    """The sentence for an object store that cannot be reached just now, None for anything else."""
    if "://" not in place or not any(sign in str(error) for sign in _AWAY):
        return None
    return (
        f"The object store that holds {place} cannot be reached, or does not answer. What was"
        " stored before is whole. Check the network (and AWS_ENDPOINT_URL, if you set it), and run"
        " the same command again."
    )
