"""Shapes: how the credentials of known providers look.

Data, one line a provider: what it is, a text that every one of its kind holds (so that most texts are told apart
without a regular expression), and the expression, linear, bounded, and never anchored.  The shapes are those that the
providers publish for secret scanning.
"""

from __future__ import annotations

import re
from functools import cache, cached_property


class Shape:
    """A provider's credential; its expression is compiled when a text holds what all of its kind do."""

    def __init__(self, what: str, holds: str, text: str) -> None:
        self.what = what
        self.holds = holds
        self._text = text

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """What finds it."""
        return re.compile(_EDGE + self._text, re.ASCII)


_EDGE = r"(?<![A-Za-z0-9_])"

_TABLE = (
    ("an AWS access key", "AKIA", r"AKIA[A-Z0-9]{16}(?![A-Z0-9])"),
    ("an AWS access key", "ASIA", r"ASIA[A-Z0-9]{16}(?![A-Z0-9])"),
    ("a GitHub token", "ghp_", r"ghp_[A-Za-z0-9]{30,255}"),
    ("a GitHub token", "gho_", r"gho_[A-Za-z0-9]{30,255}"),
    ("a GitHub token", "ghu_", r"ghu_[A-Za-z0-9]{30,255}"),
    ("a GitHub token", "ghs_", r"ghs_[A-Za-z0-9]{30,255}"),
    ("a GitHub token", "ghr_", r"ghr_[A-Za-z0-9]{30,255}"),
    ("a GitHub token", "github_pat_", r"github_pat_[A-Za-z0-9_]{50,255}"),
    ("a GitLab token", "glpat-", r"glpat-[A-Za-z0-9_.-]{20,100}"),
    ("a GitLab token", "gldt-", r"gldt-[A-Za-z0-9_-]{20,100}"),
    ("a GitLab token", "glrt-", r"glrt-[A-Za-z0-9_-]{20,100}"),
    ("a GitLab token", "glcbt-", r"glcbt-[A-Za-z0-9_-]{20,100}"),
    ("a GitLab token", "glptt-", r"glptt-[A-Za-z0-9_-]{20,100}"),
    ("a Slack token", "xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,250}"),
    ("a Slack token", "xapp-", r"xapp-[0-9]-[A-Za-z0-9-]{20,250}"),
    ("a Slack webhook", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_]{20,100}"),
    ("a Discord webhook", "/api/webhooks/", r"discord(?:app)?\.com/api/webhooks/[0-9]{5,25}/[A-Za-z0-9_-]{30,100}"),
    ("a Stripe key", "_live_", r"[srp]k_live_[A-Za-z0-9]{16,250}"),
    ("a Stripe key", "_test_", r"[sr]k_test_[A-Za-z0-9]{16,250}"),
    ("a Stripe webhook secret", "whsec_", r"whsec_[A-Za-z0-9+/=]{20,250}"),
    ("a Google API key", "AIza", r"AIza[A-Za-z0-9_-]{35}"),
    ("a Google access token", "ya29.", r"ya29\.[A-Za-z0-9_-]{20,500}"),
    ("a Google client secret", "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{20,60}"),
    ("an Anthropic key", "sk-ant-", r"sk-ant-[A-Za-z0-9_-]{20,250}"),
    ("an OpenAI key", "sk-", r"sk-(?:proj-|svcacct-|admin-)?(?=[A-Za-z_-]{0,60}[0-9])[A-Za-z0-9_-]{32,250}"),
    ("a Hugging Face token", "hf_", r"hf_[A-Za-z0-9]{30,60}"),
    ("an npm token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    ("a PyPI token", "pypi-", r"pypi-[A-Za-z0-9_-]{50,500}"),
    ("a RubyGems key", "rubygems_", r"rubygems_[a-f0-9]{48}"),
    ("a Docker Hub token", "dckr_", r"dckr_[po]at_[A-Za-z0-9_-]{20,100}"),
    ("a SendGrid key", "SG.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    ("a Twilio key", "SK", r"SK[0-9a-f]{32}"),
    ("a Mailgun key", "key-", r"key-[0-9a-f]{32}"),
    ("a Mailchimp key", "-us", r"[0-9a-f]{32}-us[0-9]{1,2}"),
    ("a Telegram bot token", ":AA", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{32,34}"),
    ("a Discord bot token", ".", r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}"),
    ("a DigitalOcean token", "_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    ("an Azure storage key", "AccountKey=", r"AccountKey=[A-Za-z0-9+/]{40,100}={0,2}"),
    ("an Azure access key", "SharedAccessKey=", r"SharedAccessKey=[A-Za-z0-9+/]{30,100}={0,2}"),
    ("an Azure signature", "sig=", r"[?&;]sig=[A-Za-z0-9%+/]{40,100}"),
    ("an Azure client secret", "Q~", r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}"),
    ("a Databricks token", "dapi", r"dapi[a-f0-9]{32}"),
    ("a Vault token", "hvs.", r"hvs\.[A-Za-z0-9_-]{20,200}"),
    ("a Vault token", "hvb.", r"hvb\.[A-Za-z0-9_-]{20,200}"),
    ("a Terraform token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,80}"),
    ("a Grafana token", "glsa_", r"glsa_[A-Za-z0-9]{32}_[a-f0-9]{8}"),
    ("a Grafana token", "glc_", r"glc_[A-Za-z0-9+/=]{30,400}"),
    ("a Shopify token", "shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    ("a Square token", "sq0", r"sq0(?:atp|csp)-[A-Za-z0-9_-]{22,43}"),
    ("a Linear key", "lin_api_", r"lin_api_[A-Za-z0-9]{32,48}"),
    ("a Notion token", "ntn_", r"ntn_[A-Za-z0-9]{40,60}"),
    ("a Notion token", "secret_", r"secret_[A-Za-z0-9]{43}"),
    ("an Airtable token", "pat", r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}"),
    ("a New Relic key", "NRAK-", r"NRAK-[A-Z0-9]{27}"),
    ("a Sentry token", "sntry", r"sntry[su]_[A-Za-z0-9+/=_]{40,300}"),
    ("a Doppler token", "dp.", r"dp\.(?:pt|st|ct|sa)\.[A-Za-z0-9._-]{40,60}"),
    ("an Artifactory key", "AKCp", r"AKCp[A-Za-z0-9]{60,80}"),
    ("a Supabase token", "sbp_", r"sbp_[a-f0-9]{40}"),
    ("a PlanetScale token", "pscale_", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,64}"),
    ("a Postman key", "PMAK-", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    ("a Pulumi token", "pul-", r"pul-[a-f0-9]{40}"),
    ("an Atlassian token", "ATATT3", r"ATATT3[A-Za-z0-9_=-]{60,250}"),
    ("an age key", "AGE-SECRET-KEY-", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    ("a token of ours", "ripresa_pat_", r"ripresa_pat_[A-Za-z0-9_-]{16,250}"),
    ("a JSON web token", "eyJ", r"eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{8,1000}"),
)


@cache
def shapes() -> tuple[Shape, ...]:
    """All of them."""
    return tuple(Shape(what, holds, text) for what, holds, text in _TABLE)


PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----")
USERINFO = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s/:@'\"{}$<>]{0,100}:(?P<value>[^\s/@'\"{}$<>]{1,200})@[A-Za-z0-9\[{$]"
)
AUTHORIZATION = re.compile(
    r"(?i)\b(?:bearer|basic|token)[ =:]{1,3}(?P<value>(?=[A-Za-z+/=._~-]{0,60}[0-9])[A-Za-z0-9+/=._~-]{16,500})"
)
"""A header's value: a scheme, and something with a digit that is no English word."""
