//! Known beginnings of keys and tokens, as their issuers publish them for secret scanners.

/// A known beginning of a key, and what follows it.
pub(super) struct Known {
    /// Who issues it.
    pub(super) issuer: &'static str,
    pub(super) starts: &'static str,
    /// What the rest is made of.
    pub(super) body: Body,
    /// The least length of the rest, in bytes.
    pub(super) least: usize,
    /// The most.
    pub(super) most: usize,
}

/// What the rest of a key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Letters and digits.
    Plain,
    /// Also `-` and `_`.
    Dashed,
    /// Also `-`, `_` and `.`.
    Dotted,
    /// Also `+`, `/` and `=`.
    Base64,
    /// Small hexadecimal digits.
    Hex,
    /// Digits alone.
    Digits,
    /// A block of a private key, to its end.
    Block,
    /// A JSON web token.
    Token,
}

use Body::{Base64, Block, Dashed, Digits, Dotted, Hex, Plain, Token};

const fn key(issuer: &'static str, starts: &'static str, body: Body, least: usize, most: usize) -> Known {
    Known { issuer, starts, body, least, most }
}

/// Of two that begin alike the longer one counts.
pub(super) const KNOWN: &[Known] = &[
    key("a private key", "-----BEGIN ", Block, 0, 0),
    key("a JSON web token", "eyJ", Token, 17, 16_384),
    // Models and what surrounds them.
    key("a model API", "sk-", Dashed, 20, 300),
    key("OpenAI", "sk-proj-", Dashed, 20, 300),
    key("OpenAI", "sk-svcacct-", Dashed, 20, 300),
    key("OpenAI", "sk-admin-", Dashed, 20, 300),
    key("Anthropic", "sk-ant-", Dashed, 20, 300),
    key("OpenRouter", "sk-or-", Dashed, 20, 300),
    key("Langfuse", "sk-lf-", Dashed, 20, 300),
    key("Groq", "gsk_", Plain, 40, 80),
    key("xAI", "xai-", Plain, 40, 120),
    key("Replicate", "r8_", Plain, 37, 37),
    key("Hugging Face", "hf_", Plain, 30, 60),
    key("Hugging Face", "api_org_", Plain, 34, 34),
    key("Perplexity", "pplx-", Plain, 40, 80),
    key("NVIDIA", "nvapi-", Dashed, 60, 80),
    key("Cerebras", "csk-", Plain, 40, 64),
    key("Fireworks", "fw_", Plain, 22, 32),
    key("Together", "tgp_v1_", Dashed, 40, 64),
    key("Jina", "jina_", Dashed, 50, 80),
    key("Tavily", "tvly-", Dashed, 30, 60),
    key("LangSmith", "lsv2_pt_", Dashed, 40, 60),
    key("LangSmith", "lsv2_sk_", Dashed, 40, 60),
    key("Pinecone", "pcsk_", Dashed, 60, 90),
    key("E2B", "e2b_", Hex, 40, 40),
    key("Firecrawl", "fc-", Hex, 32, 32),
    key("Weir", "wr_", Plain, 32, 64),
    // Clouds.
    key("AWS", "AKIA", Plain, 16, 16),
    key("AWS", "ASIA", Plain, 16, 16),
    key("AWS", "ABIA", Plain, 16, 16),
    key("AWS", "ACCA", Plain, 16, 16),
    key("Amazon Bedrock", "ABSK", Base64, 100, 160),
    key("Azure Storage", "AccountKey=", Base64, 86, 90),
    key("Azure", "SharedAccessKey=", Base64, 40, 90),
    key("Google", "AIza", Dashed, 35, 35),
    key("Google", "ya29.", Dashed, 20, 2048),
    key("Google", "GOCSPX-", Dashed, 28, 28),
    key("Alibaba Cloud", "LTAI", Plain, 17, 26),
    key("Tencent Cloud", "AKID", Plain, 32, 32),
    key("Yandex Cloud", "AQVN", Dashed, 35, 38),
    key("DigitalOcean", "dop_v1_", Hex, 64, 64),
    key("DigitalOcean", "doo_v1_", Hex, 64, 64),
    key("DigitalOcean", "dor_v1_", Hex, 64, 64),
    key("Heroku", "HRKU-", Dashed, 36, 64),
    key("Fly.io", "fo1_", Dashed, 40, 48),
    key("Netlify", "nfp_", Plain, 36, 40),
    key("Render", "rnd_", Plain, 24, 40),
    key("Supabase", "sbp_", Hex, 40, 40),
    key("Supabase", "sb_secret_", Dashed, 30, 40),
    key("PlanetScale", "pscale_tkn_", Dotted, 32, 64),
    key("PlanetScale", "pscale_pw_", Dotted, 32, 64),
    key("PlanetScale", "pscale_oauth_", Dotted, 32, 64),
    key("Databricks", "dapi", Hex, 32, 32),
    key("MongoDB Atlas", "mdb_sa_sk_", Dashed, 40, 64),
    key("Cockroach Labs", "CCDB1_", Dashed, 40, 80),
    key("Tailscale", "tskey-", Dashed, 24, 80),
    key("Defined Networking", "dnkey-", Dashed, 60, 90),
    // Code and its packages.
    key("GitHub", "ghp_", Plain, 36, 255),
    key("GitHub", "gho_", Plain, 36, 255),
    key("GitHub", "ghu_", Plain, 36, 255),
    key("GitHub", "ghs_", Plain, 36, 255),
    key("GitHub", "ghr_", Plain, 36, 255),
    key("GitHub", "github_pat_", Dashed, 40, 255),
    key("GitLab", "glpat-", Dashed, 20, 255),
    key("GitLab", "gldt-", Dashed, 20, 64),
    key("GitLab", "glrt-", Dashed, 20, 64),
    key("GitLab", "glptt-", Dashed, 40, 64),
    key("GitLab", "glcbt-", Dashed, 20, 64),
    key("GitLab", "glsoat-", Dashed, 20, 64),
    key("Bitbucket", "ATBB", Plain, 32, 40),
    key("Atlassian", "ATATT3xFfGF0", Base64, 160, 200),
    key("npm", "npm_", Plain, 36, 36),
    key("PyPI", "pypi-", Dashed, 50, 1024),
    key("RubyGems", "rubygems_", Hex, 48, 48),
    key("NuGet", "oy2", Plain, 43, 43),
    key("Clojars", "CLOJARS_", Plain, 60, 60),
    key("Docker", "dckr_pat_", Dashed, 27, 40),
    key("Docker", "dckr_oat_", Dashed, 27, 40),
    key("JFrog", "AKCp", Plain, 60, 80),
    key("CircleCI", "CCIPAT_", Dashed, 40, 80),
    key("Buildkite", "bkua_", Hex, 40, 40),
    key("Sourcegraph", "sgp_", Dashed, 40, 64),
    key("SonarQube", "sqp_", Hex, 40, 40),
    key("SonarQube", "squ_", Hex, 40, 40),
    key("SonarQube", "sqa_", Hex, 40, 40),
    key("Pulumi", "pul-", Hex, 40, 40),
    key("HashiCorp Vault", "hvs.", Dashed, 24, 200),
    key("HashiCorp Vault", "hvb.", Dashed, 24, 400),
    key("HashiCorp Vault", "hvr.", Dashed, 24, 200),
    key("Doppler", "dp.pt.", Plain, 40, 44),
    key("Doppler", "dp.st.", Dotted, 40, 64),
    key("Doppler", "dp.ct.", Plain, 40, 44),
    key("Doppler", "dp.sa.", Plain, 40, 44),
    key("1Password", "ops_eyJ", Base64, 200, 2048),
    key("age", "AGE-SECRET-KEY-1", Plain, 58, 58),
    key("Infracost", "ico-", Plain, 32, 32),
    key("Prefect", "pnu_", Plain, 36, 36),
    key("dbt Cloud", "dbtc_", Dashed, 36, 80),
    key("Unkey", "unkey_", Plain, 20, 40),
    key("Mapbox", "sk.eyJ", Dotted, 60, 120),
    key("Cloudflare", "v1.0-", Dashed, 140, 200),
    key("Fly.io", "fm2_", Base64, 100, 1000),
    // Watching.
    key("Grafana", "glc_", Base64, 32, 400),
    key("Grafana", "glsa_", Dashed, 41, 41),
    key("New Relic", "NRAK-", Plain, 27, 27),
    key("New Relic", "NRJS-", Plain, 19, 19),
    key("Sentry", "sntrys_", Base64, 60, 400),
    key("Sentry", "sntryu_", Hex, 64, 64),
    key("PostHog", "phx_", Plain, 40, 64),
    key("Dynatrace", "dt0c01.", Dotted, 80, 100),
    key("Postman", "PMAK-", Dashed, 59, 59),
    // Work.
    key("Slack", "xoxb-", Dashed, 10, 255),
    key("Slack", "xoxa-", Dashed, 10, 255),
    key("Slack", "xoxp-", Dashed, 10, 255),
    key("Slack", "xoxr-", Dashed, 10, 255),
    key("Slack", "xoxs-", Dashed, 10, 255),
    key("Slack", "xoxe-", Dashed, 10, 255),
    key("Slack", "xapp-", Dashed, 10, 255),
    key("Slack", "hooks.slack.com/services/", Base64, 40, 80),
    key("Discord", "discord.com/api/webhooks/", Base64, 80, 110),
    key("Linear", "lin_api_", Plain, 40, 40),
    key("Linear", "lin_oauth_", Hex, 64, 64),
    key("Notion", "ntn_", Plain, 40, 64),
    key("Figma", "figd_", Dashed, 40, 64),
    key("Typeform", "tfp_", Dotted, 40, 80),
    key("Contentful", "CFPAT-", Dashed, 43, 43),
    key("ReadMe", "rdme_", Plain, 70, 70),
    key("Frame.io", "fio-u-", Dashed, 64, 64),
    key("Nylas", "nyk_v0_", Plain, 40, 80),
    key("Adafruit", "aio_", Plain, 28, 28),
    key("Airtable", "pat", Dotted, 79, 79),
    key("Dropbox", "sl.", Dashed, 130, 200),
    key("ElevenLabs", "sk_", Hex, 48, 48),
    key("Facebook", "EAA", Plain, 100, 300),
    key("HubSpot", "pat-eu1-", Dashed, 36, 36),
    key("HubSpot", "pat-na1-", Dashed, 36, 36),
    key("Intercom", "dG9rO", Base64, 50, 60),
    key("Notion", "secret_", Plain, 43, 43),
    key("Twilio", "SK", Hex, 32, 32),
    // Mail and money.
    key("SendGrid", "SG.", Dotted, 40, 100),
    key("Mailgun", "key-", Hex, 32, 32),
    key("Brevo", "xkeysib-", Dashed, 70, 90),
    key("Brevo", "xsmtpsib-", Dashed, 70, 90),
    key("MailerSend", "mlsn.", Hex, 64, 64),
    key("Stripe", "sk_live_", Plain, 16, 255),
    key("Stripe", "sk_test_", Plain, 16, 255),
    key("Stripe", "rk_live_", Plain, 16, 255),
    key("Stripe", "rk_test_", Plain, 16, 255),
    key("Stripe", "whsec_", Base64, 24, 255),
    key("Square", "sq0atp-", Dashed, 22, 22),
    key("Square", "sq0csp-", Dashed, 43, 43),
    key("Square", "EAAA", Dashed, 60, 60),
    key("PayPal", "access_token$production$", Dashed, 40, 60),
    key("Plaid", "access-production-", Dashed, 36, 36),
    key("Plaid", "access-sandbox-", Dashed, 36, 36),
    key("Razorpay", "rzp_live_", Plain, 14, 14),
    key("Flutterwave", "FLWSECK-", Dashed, 30, 60),
    key("Shopify", "shpat_", Hex, 32, 32),
    key("Shopify", "shpca_", Hex, 32, 32),
    key("Shopify", "shppa_", Hex, 32, 32),
    key("Shopify", "shpss_", Hex, 32, 32),
    key("Duffel", "duffel_live_", Dashed, 43, 43),
    key("EasyPost", "EZAK", Plain, 54, 54),
    key("Shippo", "shippo_live_", Hex, 40, 40),
];

/// A known mark inside a key, and what stands around it.
pub(super) struct Marked {
    pub(super) issuer: &'static str,
    pub(super) mark: &'static str,
    /// What stands in front, and how many of it at least and at most.
    pub(super) head: (Body, usize, usize),
    /// What follows, and how many of it at least and at most.
    pub(super) tail: (Body, usize, usize),
}

/// Keys that begin with nothing that is known.
pub(super) const MARKED: &[Marked] = &[
    Marked { issuer: "Azure", mark: "8Q~", head: (Plain, 3, 3), tail: (Dotted, 31, 34) },
    Marked { issuer: "Terraform", mark: ".atlasv1.", head: (Plain, 14, 14), tail: (Dashed, 60, 70) },
    Marked { issuer: "Telegram", mark: ":AA", head: (Digits, 8, 10), tail: (Dashed, 32, 33) },
    Marked { issuer: "Mailchimp", mark: "-us", head: (Hex, 32, 32), tail: (Digits, 1, 2) },
];
