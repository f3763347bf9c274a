package secrets

// form is a kind of token that its own form gives away.
type form struct {
	id       string
	patterns []string // see pattern
}

// forms is the catalogue of tokens that are known by a documented form. Every
// entry follows its issuer's documentation or the tokens it hands out.
func forms() []form {
	var all []form
	for _, part := range [][]form{cloudForms, codeForms, modelForms, serviceForms} {
		all = append(all, part...)
	}
	return all
}

// cloudForms are the credentials of clouds, hosting and infrastructure.
var cloudForms = []form{
	{id: "aws-access-key-id", patterns: []string{"AKIA{u16}", "ASIA{u16}", "ABIA{u16}", "ACCA{u16}", "A3T{u17}"}},
	{id: "aws-session-token", patterns: []string{"FwoGZXIvYXdz{e100,}", "IQoJb3JpZ2lu{e100,}", "FQoGZXIvYXdz{e100,}"}},
	{id: "aws-bedrock-key", patterns: []string{"ABSK{s100,}", "bedrock-api-key-{e60,}"}},
	{id: "aws-mws-token", patterns: []string{"amzn.mws.{h8}-{h4}-{h4}-{h4}-{h12}"}},
	{id: "gcp-api-key", patterns: []string{"AIza{b35}"}},
	{id: "gcp-oauth-token", patterns: []string{"ya29.{v20,}"}},
	{id: "gcp-oauth-client-secret", patterns: []string{"GOCSPX-{b28}"}},
	{id: "gcp-refresh-token", patterns: []string{"1//0{b40,}"}},
	{id: "azure-storage-key", patterns: []string{"{s76}^+ASt{s6}=="}},
	{id: "azure-service-key", patterns: []string{"{a52}^JQQJ99{a26}", "{s33}^+ASb{s6}=", "{s33}^+AEh{s6}=", "{s33}^+ARm{s6}=", "{s42}^AzSe{a6}", "{s44}^AzFu{s6}==", "{s76}^ACDb{s6}=="}},
	{id: "azure-devops-token", patterns: []string{"{a76}^AZDO{a4}"}},
	{id: "alibaba-access-key-id", patterns: []string{"LTAI{a12,26}"}},
	{id: "tencent-secret-id", patterns: []string{"AKID{a32}"}},
	{id: "yandex-api-key", patterns: []string{"AQVN{b35,38}", "t1.{v7,}.{b86}=", "y0_{b40,}"}},
	{id: "digitalocean-token", patterns: []string{"dop_v1_{h64}", "doo_v1_{h64}", "dor_v1_{h64}"}},
	{id: "heroku-api-key", patterns: []string{"HRKU-{b36,}"}},
	{id: "cloudflare-origin-ca-key", patterns: []string{"v1.0-{h24}-{h146}"}},
	{id: "cloudflare-token", patterns: []string{"cfut_{b40,}", "cfat_{b40,}", "cfk_{b40,}"}},
	{id: "fly-token", patterns: []string{"fm1r_{e80,}", "fm1a_{e80,}", "fm2_{e80,}", "fo1_{b43}"}},
	{id: "netlify-token", patterns: []string{"nfp_{a36,}", "nfc_{a36,}", "nfo_{a36,}"}},
	{id: "vercel-token", patterns: []string{"vcp_{a24,}", "vci_{a24,}", "vca_{a24,}", "vcr_{a24,}", "vck_{a24,}", "vercel_blob_rw_{w30,}"}},
	{id: "render-token", patterns: []string{"rnd_{a28,}"}},
	{id: "supabase-key", patterns: []string{"sbp_{h40}", "sbp_oauth_{h40}", "sb_secret_{b22,}"}},
	{id: "planetscale-token", patterns: []string{"pscale_pw_{p32,}", "pscale_tkn_{p32,}", "pscale_oauth_{p32,}", "pscale_oat_{p32,}"}},
	{id: "neon-key", patterns: []string{"napi_{l40,}", "npg_{a12,}"}},
	{id: "mongodb-atlas-key", patterns: []string{"mdb_sa_sk_{b40,}"}},
	{id: "vault-token", patterns: []string{"hvs.{b24,}", "hvb.{b100,}", "hvr.{b24,}"}},
	{id: "terraform-token", patterns: []string{"{a14}^.atlasv1.{b60,}"}},
	{id: "pulumi-token", patterns: []string{"pul-{h40}"}},
	{id: "doppler-token", patterns: []string{"dp.pt.{a40,}", "dp.ct.{a40,}", "dp.scim.{a40,}", "dp.audit.{a40,}", "dp.sa.{a40,}", "dp.st.{p40,}"}},
	{id: "infisical-token", patterns: []string{"st.{h24}.{h32}.{h32}"}},
	{id: "1password-token", patterns: []string{"ops_eyJ{e250,}"}},
	{id: "1password-secret-key", patterns: []string{"A3-{u6}-{u11}-{u5}-{u5}-{u5}", "A3-{u6}-{u6}-{u5}-{u5}-{u5}-{u5}"}},
	{id: "tailscale-key", patterns: []string{"tskey-{b20,}"}},
	{id: "databricks-token", patterns: []string{"dapi{h32}", "dapi{h32}-{d1}", "dose{h32}"}},
	{id: "dynatrace-token", patterns: []string{"dt0c01.{u24}.{u64}", "dt0s16.{u8}.{u64}"}},
	{id: "datadog-token", patterns: []string{"ddapp_{a34,}", "ddpat_{a40,}", "ddapi_{a32,}"}},
	{id: "newrelic-key", patterns: []string{"NRAK-{u27}", "NRII-{b32}", "NRAA-{h27}", "NRJS-{h19}", "{h36}^NRAL", "NRRA-{h42}", "NRIQ-{b32}"}},
	{id: "grafana-token", patterns: []string{"glsa_{a32}_{H8}", "glc_{e32,}", "eyJrIjoi{e70,}"}},
	{id: "sentry-token", patterns: []string{"sntrys_eyJ{e60,}", "sntrys_eyJ{e60,}_{e43}", "sntryu_{h64}", "sntrya_{h64}"}},
	{id: "honeycomb-key", patterns: []string{"hcaik_{l58}", "hcbik_{l58}", "hcxik_{l58}", "hcxmk_{l58}", "hcamk_{l58}"}},
	{id: "axiom-token", patterns: []string{"xaat-{h8}-{h4}-{h4}-{h4}-{h12}", "xapt-{h8}-{h4}-{h4}-{h4}-{h12}"}},
	{id: "openshift-token", patterns: []string{"sha256~{b43}"}},
	{id: "octopus-api-key", patterns: []string{"API-{u26,32}"}},
	{id: "scalingo-token", patterns: []string{"tk-us-{b48}"}},
	{id: "age-secret-key", patterns: []string{"AGE-SECRET-KEY-1{u58}", "AGE-SECRET-KEY-PQ-1{u58,}", "AGE-PLUGIN-YUBIKEY-1{u20,}"}},
	{id: "codex-proxy-token", patterns: []string{"codexproxy_{a8}_{a20,}"}},
}

// codeForms are the credentials of forges, registries and build systems.
var codeForms = []form{
	{id: "github-token", patterns: []string{"ghp_{a36,}", "gho_{a36,}", "ghu_{a36,}", "ghs_{v36,}", "ghr_{a36,}"}},
	{id: "github-fine-grained-token", patterns: []string{"github_pat_{a22}_{a59}", "github_pat_{w82}"}},
	{id: "gitlab-token", patterns: []string{
		"glpat-{v20,}", "gldt-{b20,}", "glcbt-{b20,}", "glrt-{v20,}", "glrtr-{v20,}", "glptt-{b40}", "glft-{b20,}", "glimt-{b25}",
		"glagent-{b50,}", "gloas-{b64}", "glsoat-{b20,}", "glffct-{b20,}", "glwt-{b20,}", "GR1348941{b20}", "_gitlab_session=|{h32}",
	}},
	{id: "bitbucket-token", patterns: []string{"ATBB{a32}", "ATCTT3{e60,}", "BBDC-{s40,}"}},
	{id: "atlassian-token", patterns: []string{"ATATT3{e60,}", "ATSTT3{e60,}", "ATOAT{e60,}"}},
	{id: "npm-token", patterns: []string{"npm_{a36}"}},
	{id: "pypi-token", patterns: []string{"pypi-AgEIcHlwaS5vcmc{b50,}", "pypi-AgENdGVzdC5weXBpLm9yZw{b50,}", "pypi-{b85,}"}},
	{id: "rubygems-key", patterns: []string{"rubygems_{h48}"}},
	{id: "crates-io-token", patterns: []string{"cio{a32}"}},
	{id: "nuget-key", patterns: []string{"oy2{l43}"}},
	{id: "clojars-token", patterns: []string{"CLOJARS_{h60}"}},
	{id: "docker-token", patterns: []string{"dckr_pat_{b27}", "dckr_oat_{b27,}"}},
	{id: "artifactory-key", patterns: []string{"AKCp{a69,}", "cmVmd{a59}"}},
	{id: "sonarqube-token", patterns: []string{"squ_{h40}", "sqp_{h40}", "sqa_{h40}"}},
	{id: "sourcegraph-token", patterns: []string{"sgp_{H40}", "sgp_{H16}_{H40}", "sgp_local_{H40}", "slk_{h64}", "sgd_{h64}", "sgs_{h64}"}},
	{id: "circleci-token", patterns: []string{"CCIPAT_{w22}_{h40}", "CCIPRJ_{w22}_{h40}", "CCIPAT_{w60,}", "CCIPRJ_{w60,}"}},
	{id: "buildkite-token", patterns: []string{"bkua_{h40}", "bkct_{b40,}", "bkaj_{b40,}"}},
	{id: "harness-token", patterns: []string{"pat.{b22}.{h24}.{a20}", "sat.{b22}.{h24}.{a20}"}},
	{id: "postman-key", patterns: []string{"PMAK-{h24}-{h34}", "PMAT-{u26}"}},
	{id: "readme-key", patterns: []string{"rdme_{l70}"}},
	{id: "prefect-key", patterns: []string{"pnu_{a36}", "pnb_{a36}"}},
	{id: "deno-token", patterns: []string{"ddp_{a36}", "ddw_{a36}"}},
	{id: "snyk-token", patterns: []string{"snyk_uat.{h8}.{v80,}", "snyk_sat.{h8}.{v80,}"}},
	{id: "jetbrains-token", patterns: []string{"perm:{e30,}.{e20,}.{e20,}", "perm-{e30,}.{e20,}.{e20,}"}},
	{id: "launchdarkly-key", patterns: []string{"api-{h8}-{h4}-{h4}-{h4}-{h12}", "sdk-{h8}-{h4}-{h4}-{h4}-{h12}"}},
	{id: "configcat-key", patterns: []string{"configcat-sdk-1/{b22}/{b22}"}},
}

// modelForms are the credentials of model providers.
var modelForms = []form{
	{id: "openai-key", patterns: []string{
		"sk-proj-{b40,}", "sk-svcacct-{b40,}", "sk-admin-{b40,}", "sk-None-{b40,}", "sk-{a20}T3BlbkFJ{a20}", "sk-{a48}", "sess-{a40}", "ek_{h32}",
	}},
	{id: "anthropic-key", patterns: []string{"sk-ant-{b60,}"}},
	{id: "openrouter-key", patterns: []string{"sk-or-v1-{h64}"}},
	{id: "langfuse-key", patterns: []string{"sk-lf-{h8}-{h4}-{h4}-{h4}-{h12}"}},
	{id: "helicone-key", patterns: []string{"sk-helicone-{b20,}"}},
	{id: "model-provider-key", patterns: []string{"sk-{h32}", "sk-{h64}", "sk-{a32,47}", "sk-{a49,}"}},
	{id: "langsmith-key", patterns: []string{"lsv2_pt_{h32}_{h10}", "lsv2_sk_{h32}_{h10}", "ls__{h32}"}},
	{id: "groq-key", patterns: []string{"gsk_{a52}"}},
	{id: "xai-key", patterns: []string{"xai-{a80}"}},
	{id: "replicate-token", patterns: []string{"r8_{a37}", "r8_{a40}"}},
	{id: "perplexity-key", patterns: []string{"pplx-{a48,}"}},
	{id: "huggingface-token", patterns: []string{"hf_{a34,}", "api_org_{a34}"}},
	{id: "pinecone-key", patterns: []string{"pcsk_{w60,}"}},
	{id: "nvidia-key", patterns: []string{"nvapi-{b60,}"}},
	{id: "elevenlabs-key", patterns: []string{"sk_{h48}"}},
	{id: "wandb-key", patterns: []string{"wandb_v1_{w60,}"}},
	{id: "tavily-key", patterns: []string{"tvly-{b30,}"}},
	{id: "cerebras-key", patterns: []string{"csk-{l40,}"}},
	{id: "fireworks-key", patterns: []string{"fw_{a22,}"}},
	{id: "firecrawl-key", patterns: []string{"fc-{h32}"}},
	{id: "voyage-key", patterns: []string{"pa-{b43}"}},
	{id: "logfire-token", patterns: []string{"pylf_v1_us_{a43}", "pylf_v1_eu_{a43}"}},
}

// serviceForms are the credentials of everything else: messages, payments, work.
var serviceForms = []form{
	{id: "slack-token", patterns: []string{
		"xoxb-{d8,}-{b16,}", "xoxp-{d8,}-{b24,}", "xoxa-{b24,}", "xoxr-{b24,}", "xoxs-{b24,}", "xoxo-{b24,}", "xoxc-{d8,}-{b24,}", "xoxd-{e40,}",
		"xoxe-{b40,}", "xoxe.xoxb-{d1}-{b40,}", "xoxe.xoxp-{d1}-{b40,}", "xapp-{d1}-{b40,}", "xwfp-{b30,}", "xoxb-{b24,}",
	}},
	{id: "slack-webhook", patterns: []string{"hooks.slack.com/services/|{e40,}", "hooks.slack.com/workflows/|{e40,}", "hooks.slack.com/triggers/|{e40,}"}},
	{id: "teams-webhook", patterns: []string{"webhook.office.com/webhookb2/|{h8}-{h4}-{h4}-{h4}-{h12}@{h8}-{h4}-{h4}-{h4}-{h12}/IncomingWebhook/{h32}/{h8}-{h4}-{h4}-{h4}-{h12}"}},
	{id: "discord-webhook", patterns: []string{"discord.com/api/webhooks/{d17,20}/|{b60,}", "discordapp.com/api/webhooks/{d17,20}/|{b60,}"}},
	{id: "zapier-webhook", patterns: []string{"hooks.zapier.com/hooks/catch/|{d5,}/{a6,}"}},
	{id: "telegram-token", patterns: []string{"{d8,10}^:AA{b32,34}"}},
	{id: "stripe-key", patterns: []string{"sk_live_{a16,}", "sk_test_{a16,}", "rk_live_{a16,}", "rk_test_{a16,}", "sk_prod_{a16,}", "rk_prod_{a16,}", "sk_org_{a16,}"}},
	{id: "webhook-signing-secret", patterns: []string{"whsec_{e24,}"}},
	{id: "square-token", patterns: []string{"sq0atp-{b22,}", "sq0csp-{b43}", "EAAA{b60}"}},
	{id: "paypal-braintree-token", patterns: []string{"access_token$production${l16}${h32}", "access_token$sandbox${l16}${h32}"}},
	{id: "shopify-token", patterns: []string{"shpat_{H32}", "shpca_{H32}", "shppa_{H32}", "shpss_{H32}", "shptka_{H32}", "shpua_{H32}"}},
	{id: "plaid-token", patterns: []string{"access-sandbox-{h8}-{h4}-{h4}-{h4}-{h12}", "access-production-{h8}-{h4}-{h4}-{h4}-{h12}", "access-development-{h8}-{h4}-{h4}-{h4}-{h12}"}},
	{id: "flutterwave-key", patterns: []string{"FLWSECK_TEST-{h12,}", "FLWSECK-{h32}-X", "FLWSECK_TEST-{h32}-X"}},
	{id: "razorpay-key", patterns: []string{"rzp_live_{a14,}", "rzp_test_{a14,}"}},
	{id: "lob-key", patterns: []string{"live_{h35}", "test_{h35}"}},
	{id: "shippo-token", patterns: []string{"shippo_live_{h40}", "shippo_test_{h40}"}},
	{id: "easypost-key", patterns: []string{"EZAK{a54}", "EZTK{a54}"}},
	{id: "duffel-token", patterns: []string{"duffel_live_{b43}", "duffel_test_{b43}"}},
	{id: "facebook-token", patterns: []string{"EAAM{a100,}", "EAAC{a100,}", "EAAG{a100,}", "EAAB{a100,}", "EAAD{a100,}", "EAAJ{a100,}"}},
	{id: "twitter-bearer-token", patterns: []string{"AAAAAAAAAAAAAAAAAAAAA{a40,}%3D{a40,}", "AAAAAAAAAAAAAAAAAAAAA{a80,}"}},
	{id: "twilio-key", patterns: []string{"SK{h32}"}},
	{id: "sendgrid-key", patterns: []string{"SG.{b20,24}.{b39,50}"}},
	{id: "mailgun-key", patterns: []string{"key-{h32}", "pubkey-{h32}"}},
	{id: "mailchimp-key", patterns: []string{"{h32}^-us{d1,2}"}},
	{id: "mandrill-key", patterns: []string{"md-{b22}"}},
	{id: "brevo-key", patterns: []string{"xkeysib-{h64}-{a16}", "xsmtpsib-{h64}-{a16}"}},
	{id: "resend-key", patterns: []string{"re_{a8}_{a24}", "re_{w30,40}"}},
	{id: "linear-key", patterns: []string{"lin_api_{a40}", "lin_oauth_{h64}", "lin_wh_{a40}"}},
	{id: "notion-token", patterns: []string{"secret_{a43}", "ntn_{a40,}"}},
	{id: "figma-token", patterns: []string{"figd_{b38,}", "figo_{b38,}", "figu_{b38,}", "figdr_{b38,}"}},
	{id: "airtable-token", patterns: []string{"pat{a14}.{h64}"}},
	{id: "typeform-token", patterns: []string{"tfp_{p40,}"}},
	{id: "contentful-token", patterns: []string{"CFPAT-{b43}"}},
	{id: "dropbox-token", patterns: []string{"sl.{v100,}", "sl.u.{v100,}"}},
	{id: "mapbox-token", patterns: []string{"sk.eyJ{b20,}.{b20,}", "tk.eyJ{b20,}.{b20,}"}},
	{id: "posthog-key", patterns: []string{"phx_{a40,}", "phs_{a40,}"}},
	{id: "hubspot-token", patterns: []string{"pat-na1-{h8}-{h4}-{h4}-{h4}-{h12}", "pat-eu1-{h8}-{h4}-{h4}-{h4}-{h12}", "pat-na2-{h8}-{h4}-{h4}-{h4}-{h12}"}},
	{id: "intra42-secret", patterns: []string{"s-s4t2ud-{h64}", "s-s4t2af-{h64}"}},
	{id: "frameio-token", patterns: []string{"fio-u-{b64}"}},
	{id: "onfido-token", patterns: []string{"api_live.{b11}.{b32}", "api_sandbox.{b11}.{b32}"}},
	{id: "trello-token", patterns: []string{"ATTA{h64}"}},
	{id: "clickup-token", patterns: []string{"pk_{d6,10}_{u32}"}},
	{id: "ngrok-token", patterns: []string{"ak_{a27}", "cr_{a27}"}},
	{id: "upstash-token", patterns: []string{"QSTASH_{b40,}"}},
}
