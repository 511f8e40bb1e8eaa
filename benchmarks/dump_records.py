"""Invented records with the fields, lengths and shares of Reddit's monthly dumps of January 2026.

From the schema that Arctic Shift publishes with its dumps (schemas/RS/2026 and RC/2026, counted
over 46 million submissions and 354 million comments): which fields every record has, and which
share of them has a flair, a preview, a gallery, a video, a crosspost. Every value is invented.
"""

from __future__ import annotations

import random

BEGIN = 1_746_057_600  # May 2025

PLAIN = [
    "the",
    "a",
    "to",
    "of",
    "and",
    "in",
    "is",
    "it",
    "that",
    "for",
    "on",
    "with",
    "as",
    "this",
    "was",
    "at",
    "be",
    "by",
    "are",
    "we",
    "you",
    "they",
    "our",
    "your",
    "their",
    "i",
    "my",
    "me",
    "not",
    "have",
    "but",
    "so",
    "if",
    "just",
    "like",
    "what",
    "about",
    "how",
    "all",
    "when",
    "can",
    "would",
    "out",
    "up",
    "there",
    "get",
    "more",
    "from",
    "one",
    "no",
    "or",
    "has",
    "time",
    "people",
    "do",
    "know",
    "really",
    "think",
    "going",
    "want",
    "good",
    "make",
    "game",
    "still",
    "because",
    "them",
    "some",
    "any",
    "then",
    "now",
    "only",
    "even",
    "been",
    "who",
    "well",
    "also",
    "way",
    "new",
    "much",
    "could",
    "work",
    "need",
    "back",
    "see",
    "him",
    "other",
    "did",
    "first",
    "after",
    "never",
    "something",
    "same",
    "thing",
    "every",
    "year",
    "most",
    "over",
    "day",
    "too",
    "being",
    "where",
    "those",
    "very",
    "use",
    "should",
    "into",
    "made",
    "help",
    "right",
    "why",
    "since",
    "sure",
    "long",
    "play",
    "find",
    "best",
    "around",
    "say",
    "take",
    "life",
    "old",
    "looking",
    "music",
    "account",
    "update",
    "video",
    "post",
    "comment",
    "thanks",
    "please",
    "today",
    "week",
    "read",
    "wrote",
    "company",
    "change",
    "page",
    "share",
    "user",
    "data",
    "content",
    "your",
    "training",
    "school",
    "phone",
    "car",
    "house",
    "money",
    "job",
]
FRENCH = [
    "je",
    "ne",
    "sais",
    "pas",
    "pourquoi",
    "c'est",
    "très",
    "déçu",
    "par",
    "cette",
    "décision,",
    "ça",
    "fait",
    "déjà",
    "un",
    "an",
    "que",
    "la",
    "qualité",
    "baisse",
    "et",
    "l’équipe",
    "n’a",
    "rien",
    "expliqué",
    "à",
    "propos",
    "des",
    "œuvres",
]
SIGNS = ("’s", "…", " — ", " “so”", " 😂", " ❤️", " 👍🏽", "é", " &amp; ", "\n\n&gt; quoted")
SUBREDDITS = [
    "AskReddit",
    "gaming",
    "funny",
    "teenagers",
    "relationships",
    "memes",
    "worldnews",
    "music",
    "technology",
    "movies",
    "nba",
    "soccer",
    "anime",
    "WeAreTheMusicMakers",
    "languagelearning",
    "france",
]
# One record in fifty names a platform that is watched, one in three hundred is about its policy.
PLATFORMS = [
    "soundcloud",
    "duolingo",
    "slack",
    "zoom",
    "deviantart",
    "figma",
    "bandcamp",
    "patreon",
    "substack",
    "tumblr",
    "wattpad",
    "artstation",
    "behance",
    "fiverr",
    "upwork",
    "canva",
    "dropbox",
    "grammarly",
    "pinterest",
]
ABOUT = "{} changed its terms and will use my work for AI training unless you opt out"
NONE = (
    "approved_at_utc approved_by author_flair_background_color author_flair_css_class"
    " author_flair_template_id author_flair_text author_flair_text_color banned_at_utc banned_by"
    " distinguished likes mod_note mod_reason_by mod_reason_title num_reports removal_reason"
    " report_reasons top_awarded_type"
)
NONE_RS = (
    "category content_categories discussion_type link_flair_css_class link_flair_text media"
    " removed_by removed_by_category secure_media suggested_sort thumbnail_height thumbnail_width"
    " view_count"
)
NONE_RC = (
    "associated_award collapsed_because_crowd_control collapsed_reason collapsed_reason_code"
    " comment_type unrepliable_reason"
)
FALSE = (
    "archived author_is_blocked author_patreon_flair author_premium can_gild can_mod_post edited"
    " locked saved stickied"
)
FALSE_RS = (
    "allow_live_comments clicked contest_mode hidden hide_score is_created_from_ads_ui is_meta"
    " is_original_content is_reddit_media_domain is_video media_only over_18 pinned quarantine"
    " spoiler visited"
)
EMPTY = "all_awardings author_flair_richtext awarders mod_reports treatment_tags user_reports"
AD_NONE = (
    "ad_business ad_promoted_user_posts ad_supplementary_text_md ad_user_targeting"
    " adserver_click_url adserver_imp_pixel app_store_data campaign_id embed_type embed_url"
    " impression_id impression_id_str original_link priority_id promo_layout promoted_by"
    " promoted_display_name promoted_url sk_ad_network_data third_party_tracking"
    " third_party_tracking_2"
)
WIDTHS = (108, 216, 320, 640, 960, 1080)
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

Fields = dict[str, object]


def submission(rng: random.Random) -> Fields:
    shared = _shared(rng)
    name = shared["subreddit"]
    title = _text(rng, 45)[:300]
    slug = "_".join(title.split()[:7]).lower()
    gone = rng.random() < 0.195  # deleted or removed within 36 hours, as in January 2026
    own = rng.random() < 0.37  # text; others are pictures, videos and links
    text = "[removed]" if gone else _text(rng, 560) if own else ""
    here = f"https://www.reddit.com/r/{name}/comments/#id#/{slug}/"
    made: Fields = {
        **shared,
        **dict.fromkeys(NONE_RS.split()),
        **dict.fromkeys(FALSE_RS.split(), False),
        "_meta": _meta(gone),
        "domain": f"self.{name}" if own else "i.redd.it",
        "is_crosspostable": not gone,
        "is_robot_indexable": not gone,
        "is_self": own,
        "link_flair_background_color": "",
        "link_flair_richtext": [],
        "link_flair_text_color": "dark",
        "link_flair_type": "text",
        "media_embed": {},
        "name": "t3_#id#",
        "num_comments": rng.randrange(90),
        "num_crossposts": 0,
        "over_18": rng.random() < 0.46,
        "permalink": here.removeprefix("https://www.reddit.com"),
        "pwls": 6,
        "removed_by_category": rng.choice(("reddit", "moderator", "deleted")) if gone else None,
        "secure_media_embed": {},
        "selftext": text,
        "subreddit_subscribers": rng.randrange(1 << 20),
        "thumbnail": "self" if own else f"https://b.thumbs.redditmedia.com/{_letters(rng, 43)}.jpg",
        "title": title,
        "upvote_ratio": 0.77,
        "url": here if own else f"https://i.redd.it/{_letters(rng, 13)}.jpeg",
        "wls": 6,
    }
    made |= _media(rng, own=own)
    if not own:
        made["url_overridden_by_dest"] = made["url"]
    if rng.random() < 0.46:
        made["link_flair_template_id"] = _uuid(rng)
        made["link_flair_text"] = "Question - General"
        made["link_flair_richtext"] = [{"e": "text", "t": "Question - General"}]
    if rng.random() < 0.008:
        made |= dict.fromkeys(AD_NONE.split()) | {"promoted": False, "events": []}
    if rng.random() < 0.0695:
        # What it repeats is put in by whoever numbers the records.
        made["crosspost_parent"] = "t3_#parent#"
        made["crosspost_parent_list"] = ["#first#"]
        made["selftext"] = ""
    return dict(sorted(made.items()))


def comment(rng: random.Random) -> Fields:
    shared = _shared(rng)
    gone = rng.random() < 0.035
    slug = "_".join(_text(rng, 45).split()[:6]).lower()
    made: Fields = {
        **shared,
        **dict.fromkeys(NONE_RC.split()),
        "_meta": _meta(gone),
        "body": "[deleted]" if gone else _text(rng, 156),
        "collapsed": gone,
        "collapsed_reason_code": "DELETED" if gone else None,
        "controversiality": 0,
        "is_submitter": rng.random() < 0.1,
        "link_id": "t3_#root#",
        "name": "t1_#id#",
        "parent_id": "t3_#root#",
        "permalink": f"/r/{shared['subreddit']}/comments/#root#/{slug[:48]}/#id#/",
        "replies": "",
        "score_hidden": False,
    }
    if rng.random() < 0.0295:
        made["media_metadata"] = _pictures(rng, 1)[1]
    if rng.random() < 0.021:
        made["profile_img"] = f"https://styles.redditmedia.com/{_letters(rng, 60)}.png"
        made["profile_over_18"] = False
    return dict(sorted(made.items()))


def _shared(rng: random.Random) -> Fields:
    name = rng.choice(SUBREDDITS)
    at, score = BEGIN + rng.randrange(9999), rng.randrange(100)
    shared: Fields = {
        **dict.fromkeys(NONE.split()),
        **dict.fromkeys(FALSE.split(), False),
        **{field: [] for field in EMPTY.split()},
        "author": f"writer-{rng.getrandbits(24):x}",
        "author_flair_type": "text",
        "author_fullname": f"t2_{_letters(rng, 10)}",
        "created": at,
        "created_utc": at,
        "downs": 0,
        "gilded": 0,
        "gildings": {},
        "id": "#id#",
        "no_follow": True,
        "retrieved_on": BEGIN + 15,
        "score": score,
        "send_replies": True,
        "subreddit": name,
        "subreddit_id": f"t5_{_letters(rng, 5)}",
        "subreddit_name_prefixed": f"r/{name}",
        "subreddit_type": "public",
        "total_awards_received": 0,
        "ups": score,
    }
    if rng.random() < 0.14:
        shared["author_flair_text"] = ":star: Ten years here"
        shared["author_flair_template_id"] = _uuid(rng)
        shared["author_flair_richtext"] = [
            {
                "a": ":star:",
                "e": "emoji",
                "u": f"https://emoji.redditmedia.com/{_letters(rng, 30)}",
            },
            {"e": "text", "t": " Ten years here"},
        ]
    return shared


def _meta(gone: bool) -> Fields:
    told: Fields = {"removal_type": "deleted", "was_deleted_later": True} if gone else {}
    return {**told, "retrieved_2nd_on": BEGIN + 129_600}


def _media(rng: random.Random, *, own: bool) -> Fields:
    """A preview (44 in a hundred), a gallery (13), an embedded video (7) or Reddit's own (3)."""
    made: Fields = {}
    if not own and rng.random() < 0.7:
        made["post_hint"] = "image"
        made["preview"] = {"enabled": True, "images": [_preview(rng)]}
        made["thumbnail_height"], made["thumbnail_width"] = 140, 140
    if not own and rng.random() < 0.2:
        made["is_gallery"] = True
        made["gallery_data"], made["media_metadata"] = _pictures(rng, rng.randrange(2, 7))
    if not own and rng.random() < 0.11:
        address = f"https://www.redgifs.com/ifr/{_letters(rng, 24)}"
        frame = f'<iframe src="{address}" width="600" height="800" style="x"></iframe>'
        embedded = {
            "height": 800,
            "html": frame,
            "provider_name": "RedGIFs",
            "provider_url": "https://www.redgifs.com/",
            "thumbnail_height": 1440,
            "thumbnail_url": f"https://api.redgifs.com/{_letters(rng, 24)}.jpg",
            "thumbnail_width": 1080,
            "title": "Watch it on RedGIFs",
            "type": "video",
            "version": "1.0",
            "width": 600,
        }
        made["media"] = made["secure_media"] = {"oembed": embedded, "type": "redgifs.com"}
    elif not own and rng.random() < 0.05:
        base = f"https://v.redd.it/{_letters(rng, 13)}"
        video = {
            "bitrate_kbps": 2400,
            "dash_url": f"{base}/DASHPlaylist.mpd?a=1777{_hex(rng, 64)}&v=1&f=sd",
            "duration": 21,
            "fallback_url": f"{base}/CMAF_720.mp4?source=fallback",
            "has_audio": True,
            "height": 1280,
            "hls_url": f"{base}/HLSPlaylist.m3u8?a=1777{_hex(rng, 64)}&v=1&f=sd",
            "is_gif": False,
            "scrubber_media_url": f"{base}/CMAF_96.mp4",
            "transcoding_status": "completed",
            "width": 720,
        }
        made["media"] = made["secure_media"] = {"reddit_video": video}
        made["is_video"] = True
    return made


def _preview(rng: random.Random) -> Fields:
    def sizes(effect: str) -> Fields:
        base = f"https://preview.redd.it/{_letters(rng, 13)}.jpeg"
        made = [
            {
                "height": width * 4 // 3,
                "url": f"{base}?width={width}&crop=smart{effect}&auto=webp&s={_hex(rng, 40)}",
                "width": width,
            }
            for width in WIDTHS
        ]
        source = {"height": 2048, "url": f"{base}?auto=webp&s={_hex(rng, 40)}", "width": 1536}
        return {"resolutions": made, "source": source}

    blurred = sizes("&blur=40&format=pjpg") if rng.random() < 0.52 else None
    variants = {"nsfw": blurred, "obfuscated": blurred} if blurred else {}
    return {"id": _letters(rng, 43), **sizes(""), "variants": variants}


def _pictures(rng: random.Random, count: int) -> tuple[Fields, Fields]:
    """`gallery_data` and `media_metadata` of some pictures."""
    names = [_letters(rng, 13) for _ in range(count)]

    def address(name: str, width: int) -> Fields:
        url = f"https://preview.redd.it/{name}.jpg?width={width}&crop=smart&auto=webp&s="
        return {"u": url + _hex(rng, 40), "x": width, "y": width * 4 // 3}

    metadata: Fields = {
        name: {
            "e": "Image",
            "id": name,
            "m": "image/jpg",
            "p": [address(name, width) for width in WIDTHS],
            "s": address(name, 1536),
            "status": "valid",
        }
        for name in names
    }
    items = [{"id": rng.getrandbits(29), "media_id": name} for name in names]
    return {"items": items}, metadata


def _letters(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(LETTERS, k=count))


def _hex(rng: random.Random, count: int) -> str:
    return f"{rng.getrandbits(4 * count):0{count}x}"


def _uuid(rng: random.Random) -> str:
    found = _hex(rng, 32)
    return "-".join((found[:8], found[8:12], found[12:16], found[16:20], found[20:]))


def _text(rng: random.Random, mean: float) -> str:
    count = max(3, int(rng.expovariate(5 / mean)))
    if rng.random() < 0.02:
        words = rng.choices(FRENCH, k=count)
    else:
        words = [PLAIN[int(rng.random() * rng.random() * len(PLAIN))] for _ in range(count)]
    for chance, choices in ((0.5, (".", ",", "!", '"', "\n\n")), (0.12, SIGNS)):
        if rng.random() < chance:
            for _ in range(1 + count // 30):
                words[rng.randrange(count)] += rng.choice(choices)
    lot = rng.random()
    if lot < 1 / 300:
        words.append(ABOUT.format(rng.choice(PLATFORMS)))
    elif lot < 1 / 50:
        words.append(rng.choice(PLATFORMS))
    elif lot < 1 / 30:
        words.append(rng.choice(("AI", "an AI.", "ChatGPT and AI")))
    return " ".join(words)
