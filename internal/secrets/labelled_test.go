package secrets

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
)

// The labelled set is made here, from documented formats, each time the tests
// run: a file full of key shapes would trip the push protection of forges.

// labelled is a text and the secrets in it, as they stand there.
type labelled struct {
	kind, context string
	text          string
	secrets       []string
}

// draw returns n characters of a set.
func draw(r *rand.Rand, set string, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(set[r.IntN(len(set))])
	}
	return b.String()
}

const (
	digitsSet = "0123456789"
	hexSet    = digitsSet + "abcdef"
	lowerSet  = "abcdefghijklmnopqrstuvwxyz"
	upperSet  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alnumSet  = digitsSet + lowerSet + upperSet
	urlSet    = alnumSet + "_-"
	stdSet    = alnumSet + "+/"
)

// shape draws from a shape such as "ghp_<a36>".
func shape(r *rand.Rand, s string) string {
	sets := map[byte]string{'d': digitsSet, 'h': hexSet, 'l': lowerSet + digitsSet, 'u': upperSet + digitsSet, 'U': upperSet + "234567", 'a': alnumSet, 'b': urlSet, 's': stdSet, 'q': lowerSet, 'H': digitsSet + "ABCDEF", 'v': urlSet + "."}
	for {
		head, rest, ok := strings.Cut(s, "<")
		if !ok {
			return s
		}
		spec, tail, _ := strings.Cut(rest, ">")
		n := 0
		fmt.Sscanf(spec[1:], "%d", &n)
		s = head + draw(r, sets[spec[0]], n) + tail
	}
}

const uuidShape = "<h8>-<h4>-4<h3>-a<h3>-<h12>"

// tokenKinds are kinds of token: how one looks, and what variable holds it.
var tokenKinds = []struct{ kind, name, shape string }{
	{"aws access key", "AWS_ACCESS_KEY_ID", "AKIA<U16>"},
	{"aws temporary key", "AWS_ACCESS_KEY_ID", "ASIA<U16>"},
	{"aws secret key", "AWS_SECRET_ACCESS_KEY", "<s40>"},
	{"gcp api key", "GOOGLE_API_KEY", "AIza<b35>"},
	{"gcp oauth secret", "GOOGLE_CLIENT_SECRET", "GOCSPX-<b28>"},
	{"gcp access token", "GCLOUD_TOKEN", "ya29.a0<b120>"},
	{"azure client secret", "AZURE_CLIENT_SECRET", "<a3>8Q~<a34>"},
	{"azure storage key", "AZURE_STORAGE_KEY", "<s86>=="},
	{"azure devops", "AZURE_DEVOPS_PAT", "<a76>AZDO<a4>"},
	{"github fine-grained", "GITHUB_TOKEN", "github_pat_<a22>_<a59>"},
	{"github oauth", "GH_TOKEN", "gho_<a36>"},
	{"gitlab", "GITLAB_TOKEN", "glpat-<b20>"},
	{"gitlab runner", "RUNNER_TOKEN", "glrt-<b20>"},
	{"slack bot", "SLACK_BOT_TOKEN", "xoxb-<d12>-<d13>-<a24>"},
	{"slack app", "SLACK_APP_TOKEN", "xapp-1-A<u10>-<d13>-<h64>"},
	{"stripe live", "STRIPE_SECRET_KEY", "sk_live_<a24>"},
	{"stripe restricted", "STRIPE_RESTRICTED_KEY", "rk_live_<a99>"},
	{"stripe webhook", "STRIPE_WEBHOOK_SECRET", "whsec_<a32>"},
	{"openai legacy", "OPENAI_API_KEY", "sk-<a20>T3BlbkFJ<a20>"},
	{"openai project", "OPENAI_API_KEY", "sk-proj-<b74>T3BlbkFJ<b74>"},
	{"openai service account", "OPENAI_API_KEY", "sk-svcacct-<b74>T3BlbkFJ<b74>"},
	{"anthropic", "ANTHROPIC_API_KEY", "sk-ant-api03-<b93>AA"},
	{"npm", "NPM_TOKEN", "npm_<a36>"},
	{"pypi", "TWINE_PASSWORD", "pypi-AgEIcHlwaS5vcmc<b70>"},
	{"rubygems", "GEM_HOST_API_KEY", "rubygems_<h48>"},
	{"docker", "DOCKERHUB_TOKEN", "dckr_pat_<b27>"},
	{"hugging face", "HF_TOKEN", "hf_<a34>"},
	{"twilio", "TWILIO_AUTH_TOKEN", "<h32>"},
	{"twilio key", "TWILIO_API_KEY", "SK<h32>"},
	{"sendgrid", "SENDGRID_API_KEY", "SG.<b22>.<b43>"},
	{"mailgun", "MAILGUN_API_KEY", "key-<h32>"},
	{"mailchimp", "MAILCHIMP_API_KEY", "<h32>-us12"},
	{"telegram", "TELEGRAM_BOT_TOKEN", "<d10>:AA<b33>"},
	{"discord", "DISCORD_TOKEN", "MTA<a23>.<b6>.<b38>"},
	{"shopify", "SHOPIFY_ACCESS_TOKEN", "shpat_<h32>"},
	{"square", "SQUARE_ACCESS_TOKEN", "sq0atp-<b22>"},
	{"paypal", "PAYPAL_SECRET", "E<b79>"},
	{"databricks", "DATABRICKS_TOKEN", "dapi<h32>"},
	{"datadog", "DD_API_KEY", "<h32>"},
	{"datadog app", "DATADOG_APP_KEY", "<h40>"},
	{"new relic", "NEW_RELIC_API_KEY", "NRAK-<u27>"},
	{"new relic license", "NEW_RELIC_LICENSE_KEY", "<h36>NRAL"},
	{"grafana", "GRAFANA_TOKEN", "glsa_<a32>_<h8>"},
	{"sentry", "SENTRY_AUTH_TOKEN", "sntryu_<h64>"},
	{"vault", "VAULT_TOKEN", "hvs.<b95>"},
	{"vault legacy", "VAULT_TOKEN", "s.<a24>"},
	{"terraform", "TF_API_TOKEN", "<a14>.atlasv1.<b67>"},
	{"pulumi", "PULUMI_ACCESS_TOKEN", "pul-<h40>"},
	{"digitalocean", "DIGITALOCEAN_TOKEN", "dop_v1_<h64>"},
	{"linode", "LINODE_TOKEN", "<h64>"},
	{"cloudflare", "CLOUDFLARE_API_TOKEN", "<b40>"},
	{"fastly", "FASTLY_API_KEY", "<b32>"},
	{"heroku", "HEROKU_API_KEY", uuidShape},
	{"netlify", "NETLIFY_AUTH_TOKEN", "nfp_<a36>"},
	{"vercel", "VERCEL_TOKEN", "<a24>"},
	{"supabase", "SUPABASE_ACCESS_TOKEN", "sbp_<h40>"},
	{"planetscale", "PLANETSCALE_PASSWORD", "pscale_pw_<b43>"},
	{"atlassian", "JIRA_API_TOKEN", "ATATT3xFfGF0<b180>"},
	{"linear", "LINEAR_API_KEY", "lin_api_<a40>"},
	{"notion", "NOTION_TOKEN", "ntn_<a46>"},
	{"notion old", "NOTION_API_KEY", "secret_<a43>"},
	{"figma", "FIGMA_TOKEN", "figd_<b40>"},
	{"airtable", "AIRTABLE_API_KEY", "pat<a14>.<h64>"},
	{"asana", "ASANA_TOKEN", "1/<d16>:<h32>"},
	{"okta", "OKTA_API_TOKEN", "00<b40>"},
	{"auth0", "AUTH0_CLIENT_SECRET", "<b64>"},
	{"postman", "POSTMAN_API_KEY", "PMAK-<h24>-<h34>"},
	{"doppler", "DOPPLER_TOKEN", "dp.pt.<a43>"},
	{"dynatrace", "DT_API_TOKEN", "dt0c01.<u24>.<u64>"},
	{"groq", "GROQ_API_KEY", "gsk_<a52>"},
	{"replicate", "REPLICATE_API_TOKEN", "r8_<a37>"},
	{"perplexity", "PPLX_API_KEY", "pplx-<a48>"},
	{"age", "SOPS_AGE_KEY", "AGE-SECRET-KEY-1<u58>"},
	{"tailscale", "TS_AUTHKEY", "tskey-auth-<a17>-<a32>"},
	{"sonarqube", "SONAR_TOKEN", "squ_<h40>"},
	{"circleci", "CIRCLECI_TOKEN", "CCIPAT_<a22>_<h40>"},
	{"snyk", "SNYK_TOKEN", uuidShape},
	{"artifactory", "ARTIFACTORY_API_KEY", "AKCp8<a68>"},
	{"jwt secret", "JWT_SECRET", "<a48>"},
	{"session secret", "SESSION_SECRET", "<h64>"},
	{"laravel", "APP_KEY", "base64:<s43>="},
	{"django", "SECRET_KEY", "django-insecure-<a50>"},
	{"own token", "CODEX_PROXY_TOKEN", "codexproxy_<a8>_<a38>"},
	{"password", "DB_PASSWORD", "<a7>!<a6>"},
	{"password with symbols", "POSTGRES_PASSWORD", "<a5>#<a4>@<a3>&<a2>"},
	{"short password", "ADMIN_PASSWORD", "<l6><d3>"},
	{"redis password", "REDIS_PASSWORD", "<a20>"},
}

// holders are how files and programs hold a name and its value.
var holders = []struct{ context, text string }{
	{"env", "APP_ENV=production\nNAME=VALUE\nPORT=8080\n"},
	{"env quoted", "NAME=\"VALUE\"\n"},
	{"export", "#!/bin/sh\nset -eu\nexport NAME='VALUE'\n./run.sh\n"},
	{"yaml", "service:\n  replicas: 2\n  name_: VALUE\n  region: eu-west-1\n"},
	{"yaml quoted", "app:\n  name_: \"VALUE\"\n"},
	{"json", "{\n  \"port\": 8080,\n  \"name_\": \"VALUE\",\n  \"debug\": false\n}\n"},
	{"json minified", `{"port":8080,"nameCamel":"VALUE","debug":false}`},
	{"toml", "[service]\nname_ = \"VALUE\"\ntimeout = 30\n"},
	{"properties", "server.port=8080\nspring.name_=VALUE\n"},
	{"ini", "[default]\nname_ = VALUE\nregion = eu-central-1\n"},
	{"go", "const nameCamel = \"VALUE\"\n\nfunc main() {}\n"},
	{"go field", "cfg := Config{\n\tHost: \"db.internal\",\n\tNameCamel: \"VALUE\",\n}\n"},
	{"python", "import requests\n\nNAME = 'VALUE'\n\ndef main():\n    pass\n"},
	{"python keyword", "client = Client(region=\"eu\", name_=\"VALUE\", retries=3)\n"},
	{"typescript", "export const nameCamel: string = \"VALUE\";\n"},
	{"javascript", "module.exports = {\n  nameCamel: 'VALUE',\n  port: 3000,\n};\n"},
	{"java", "private static final String NAME = \"VALUE\";\n"},
	{"csharp", "public string NameCamel { get; set; } = \"VALUE\";\n"},
	{"ruby", "config = { :name_ => \"VALUE\", :port => 1 }\n"},
	{"php", "define('NAME', 'VALUE');\n"},
	{"php array", "return [\n    'name_' => 'VALUE',\n];\n"},
	{"rust", "let name_: &str = \"VALUE\";\n"},
	{"kotlin", "val nameCamel = \"VALUE\"\n"},
	{"docker compose", "services:\n  web:\n    environment:\n      - NAME=VALUE\n      - PORT=80\n"},
	{"compose map", "services:\n  web:\n    environment:\n      NAME: VALUE\n"},
	{"dockerfile", "FROM alpine\nENV NAME=VALUE\nCMD [\"run\"]\n"},
	{"docker run", "docker run -d -e NAME=VALUE -p 80:80 web:latest\n"},
	{"kubernetes env", "env:\n  - name: NAME\n    value: \"VALUE\"\n"},
	{"task definition", `{"environment": [{"name": "NAME", "value": "VALUE"}]}`},
	{"ci", "jobs:\n  build:\n    env:\n      NAME: 'VALUE'\n    steps: []\n"},
	{"powershell", "$env:NAME = \"VALUE\"\n"},
	{"xml", "<settings>\n  <add key=\"NAME\" value=\"VALUE\" />\n</settings>\n"},
	{"log", "2026-03-01T10:00:00Z INFO starting with NAME=VALUE workers=4\n"},
	{"diff", "@@ -1,2 +1,2 @@\n-NAME=\n+NAME=VALUE\n"},
	{"process environ", "os.environ[\"NAME\"] = \"VALUE\"\n"},
	{"tool output", `{"output":"APP=1\nNAME=VALUE\nPORT=80\n","metadata":{"exit_code":0}}`},
	{"tool output json", `{"output":"{\n  \"name_\": \"VALUE\"\n}\n","metadata":{"exit_code":0}}`},
	{"terraform", "variable \"x\" {}\nresource \"a\" \"b\" {\n  name_ = \"VALUE\"\n}\n"},
}

func camel(name string) string {
	parts := strings.FieldsFunc(strings.ToLower(name), func(c rune) bool { return c == '_' })
	for i := 1; i < len(parts); i++ {
		parts[i] = strings.ToUpper(parts[i][:1]) + parts[i][1:]
	}
	return strings.Join(parts, "")
}

func hold(text, name, value string) string {
	c := camel(name)
	return strings.NewReplacer("nameCamel", c, "NameCamel", strings.ToUpper(c[:1])+c[1:], "name_", strings.ToLower(name), "NAME", name, "VALUE", value).Replace(text)
}

// withChecksum ends a token in the checksum that GitHub and npm document.
func withChecksum(token string) string {
	const alphabet = digitsSet + upperSet + lowerSet
	sum := crc32.ChecksumIEEE([]byte(token[4:34]))
	tail := make([]byte, 6)
	for i := 5; i >= 0; i-- {
		tail[i] = alphabet[sum%62]
		sum /= 62
	}
	return token[:34] + string(tail)
}

// places are kinds whose form is the place they stand in. S is the secret.
func places(r *rand.Rand) []labelled {
	var all []labelled
	add := func(kind, text string, secrets ...string) {
		all = append(all, labelled{kind: kind, context: "place", text: text, secrets: secrets})
	}
	pw := func() string { return shape(r, "<a6>-<a5>") }
	for _, u := range []string{
		"postgres://app:S@db.internal:5432/app?sslmode=require", "postgresql://app:S@10.0.0.3/app", "mysql://root:S@mysql:3306/shop", "mongodb+srv://app:S@cluster0.ab1cd.mongodb.net/test",
		"redis://:S@cache.internal:6379/0", "rediss://default:S@eu1-cool-1234.upstash.io:6379", "amqp://svc:S@rabbit.internal:5672/%2f", "https://deploy:S@git.internal/team/repo.git", "ftp://files:S@ftp.acme.io/in", "smtp://mailer:S@smtp.acme.io:587",
		"mssql://sa:S@sql.internal:1433/crm", "clickhouse://default:S@ch.internal:9000/logs", "nats://svc:S@nats.internal:4222", "ldap://cn=admin:S@ldap.internal", "http://proxyuser:S@proxy.internal:3128", "socks5://u:S@10.1.1.1:1080", "sftp://in:S@sftp.acme.io:22/drop", "cloudinary://874837483274837:S@democloud", "rtsp://cam:S@192.168.1.20:554/stream",
	} {
		for _, context := range []string{"DATABASE_URL=%s\n", "url: \"%s\"\n", "engine = create_engine('%s')\n", "connecting to %s failed\n", `{"dsn":"%s"}`} {
			p := pw()
			add("url credentials", fmt.Sprintf(context, strings.ReplaceAll(u, "S", p)), p)
		}
	}
	p := pw()
	add("percent-encoded url password", "DATABASE_URL=postgres://app:"+url.QueryEscape(p+"@:/x")+"@db.internal/app\n", url.QueryEscape(p+"@:/x"))
	for _, line := range []string{
		"machine api.acme.io login deploy password S\n", "machine api.acme.io\n  login deploy\n  password S\n", "default login anonymous password S\n",
		"jdbc:postgresql://db.internal:5432/app?user=app&password=S\n", "jdbc:sqlserver://sql.internal:1433;databaseName=crm;user=sa;password=S;encrypt=true\n", "jdbc:oracle:thin:scott/S@ora.internal:1521/xe\n", "jdbc:mysql://db/app?password=S&user=app\n",
		"Server=tcp:crm.database.windows.net,1433;Initial Catalog=crm;User ID=sa;Password=S;Encrypt=True;\n", "Data Source=sql;User Id=sa;Pwd=S;\n", "host=db.internal port=5432 user=app password=S dbname=app\n", "app:S@tcp(db.internal:3306)/shop?parseTime=true\n",
		"db.internal:5432:app:app:S\n", "*:*:*:app:S\n", "curl -u deploy:S https://api.acme.io/v1/things\n", "curl --user 'deploy:S' https://api.acme.io/\n", "sshpass -p 'S' ssh root@10.0.0.4\n", "mysql -u root -pS shop < dump.sql\n", "redis-cli -h cache -a S ping\n",
		"docker login -u robot -p S registry.acme.io\n", "docker login --username robot --password S\n", "CREATE USER app IDENTIFIED BY 'S';\n", "ALTER ROLE app WITH PASSWORD 'S';\n", "requirepass S\n", "//npm.acme.io/:_authToken=S\n", "<password>S</password>\n", "wifi psk=\"S\"\n",
		"java -Ddb.password=S -jar app.jar\n", "client.connect(host, user='app', password='S')\n", "PGPASSWORD=S psql -h db\n", "mycli --password=S\n", "setenv(\"DB_PASSWORD\", \"S\", 1);\n", "conn.setPassword(\"S\");\n", "ansible_become_pass: S\n", "bindpw S\n", "set password \"S\"\n",
		"mail.smtp.password=S\n", "https://api.acme.io/v1?user=x&api_key=S\n", "password: S\n", "  password: \"S\",\n", "$password = 'S';\n", "const password = process.env.PASSWORD || \"S\";\n", "os.getenv(\"DB_PASSWORD\", \"S\")\n", "${DB_PASSWORD:-S}\n",
		"<entry key=\"db.password\">S</entry>\n", "Set-Variable -Name Password -Value \"S\"\n", "ConvertTo-SecureString \"S\" -AsPlainText -Force\n", "password <- \"S\"\n", "helm install x --set auth.password=S\n", "kubectl create secret generic x --from-literal=password=S\n",
	} {
		for range 2 {
			p := shape(r, "<l5><u3><d2><a4>")
			if strings.Contains(line, "_authToken") || strings.Contains(line, "api_key") {
				p = shape(r, "<a32>")
			}
			add("place", strings.ReplaceAll(line, "S\n", p+"\n"), p)
			all[len(all)-1].text = replaceSecret(line, p)
		}
	}
	for _, label := range []string{"RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "DSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "PGP PRIVATE KEY BLOCK"} {
		var b strings.Builder
		for range 12 {
			b.WriteString(draw(r, stdSet, 64) + "\n")
		}
		block := "-----BEGIN " + label + "-----\n" + b.String() + "-----END " + label + "-----"
		add("private key", "$ cat key\n"+block+"\n", block)
		quoted, _ := json.Marshal(block)
		inner := string(quoted[1 : len(quoted)-1])
		add("private key in json", `{"type":"service_account","private_key":"`+inner+`","client_email":"x@acme.iam"}`, inner)
		add("private key cut off", block[:300], block[:300])
	}
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`))
	for _, context := range []string{"Authorization: Bearer %s\n", "token: %s\n", "{\"jwt\":\"%s\"}", "curl -H 'Authorization: Bearer %s' https://api\n", "cookie: session=%s; path=/\n", "    token: %s\n"} {
		payload := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"` + draw(r, digitsSet, 10) + `","role":"service_role","iat":1516239022}`))
		jwt := header + "." + payload + "." + draw(r, urlSet, 43)
		add("jwt", fmt.Sprintf(context, jwt), jwt)
	}
	for _, context := range []string{"Authorization: Bearer %s\n", "curl -H \"Authorization: Bearer %s\" https://api.acme.io\n", "headers = {\"Authorization\": \"Bearer %s\"}\n", "Authorization: token %s\n", "X-Api-Key: %s\n", "curl -H 'X-API-Key: %s' https://x\n", "req.Header.Set(\"X-Auth-Token\", \"%s\")\n"} {
		t := shape(r, "<a40>")
		add("header", fmt.Sprintf(context, t), t)
	}
	for _, context := range []string{"Authorization: Basic %s\n", "curl -H 'Authorization: Basic %s' https://api\n", `{"auths":{"https://index.docker.io/v1/":{"auth":"%s"}}}`, "{\n\t\"auths\": {\n\t\t\"registry.acme.io\": {\n\t\t\t\"auth\": \"%s\"\n\t\t}\n\t}\n}"} {
		t := base64.StdEncoding.EncodeToString([]byte("robot:" + pw()))
		add("basic auth", fmt.Sprintf(context, t), t)
	}
	sig := url.QueryEscape(draw(r, stdSet, 43) + "=")
	add("azure sas", "https://acct.blob.core.windows.net/c/b.zip?sv=2022-11-02&sr=b&se=2027-01-01T00%3A00%3A00Z&sp=r&sig="+sig+"\n", sig)
	key := draw(r, stdSet, 86) + "=="
	add("azure storage", "DefaultEndpointsProtocol=https;AccountName=acct;AccountKey="+key+";EndpointSuffix=core.windows.net\n", key)
	key = draw(r, stdSet, 43) + "="
	add("azure service bus", "Endpoint=sb://x.servicebus.windows.net/;SharedAccessKeyName=Root;SharedAccessKey="+key+"\n", key)
	hook := shape(r, "T<u8>/B<u10>/<a24>")
	add("slack webhook", "https://hooks.slack.com/services/"+hook+"\n", hook)
	hook = draw(r, urlSet, 68)
	add("discord webhook", "https://discord.com/api/webhooks/"+draw(r, "123456789", 18)+"/"+hook+"\n", hook)
	id, secret := shape(r, "AKIA<U16>"), draw(r, stdSet, 40)
	add("aws csv", "Access key ID,Secret access key\n"+id+","+secret+"\n", id, secret)
	key = draw(r, stdSet, 43) + "="
	add("wireguard", "[Interface]\nPrivateKey = "+key+"\nAddress = 10.0.0.2/32\n", key)
	for _, kind := range []string{"ghp_", "npm_"} {
		t := withChecksum(kind + draw(r, alnumSet, 36))
		add("checksum", "token "+t+" was revoked\n", t)
		add("url token", "https://"+t+"@github.com/acme/repo.git\n", t)
	}
	for _, file := range []string{"DB_PASSWORD=%s\nDB_HOST=db\n", "{\"api_key\": \"%s\", \"region\": \"eu\"}\n", "machine x.io login y password %s\n"} {
		p := shape(r, "<a20>")
		env := fmt.Sprintf(file, p)
		once := base64.StdEncoding.EncodeToString([]byte(env))
		add("base64", "data:\n  config: "+once+"\n", once)
		add("base64 in json", `{"content":"`+once+`","encoding":"base64"}`, once)
		twice := base64.StdEncoding.EncodeToString([]byte("config: " + once + "\n"))
		add("base64 twice", "blob = '"+twice+"'\n", twice)
		add("percent-encoded", "https://x.io/cb?state="+url.QueryEscape(strings.TrimSpace(env))+"\n", url.QueryEscape(p))
	}
	long := base64.StdEncoding.EncodeToString([]byte("# settings\nHOST=db\nPORT=5432\nREGION=eu-west-1\nLOG=debug\nDB_PASSWORD=" + shape(r, "<a20>") + "\nWORKERS=4\n"))
	add("base64 wrapped", long[:76]+"\n"+long[76:]+"\n", long[:76]+"\n"+long[76:])
	kube := base64.StdEncoding.EncodeToString([]byte("-----BEGIN EC PRIVATE KEY-----\n" + draw(r, stdSet, 64) + "\n" + draw(r, stdSet, 64) + "\n-----END EC PRIVATE KEY-----\n"))
	add("kubeconfig", "users:\n- name: admin\n  user:\n    client-key-data: "+kube+"\n    token: "+shape(r, "<a40>")+"\n", kube)
	return all
}

// replaceSecret puts the secret for the S that stands alone in a line.
func replaceSecret(line, secret string) string {
	for i := range len(line) {
		if line[i] == 'S' && !word.has(at([]byte(line), i-1)) && !word.has(at([]byte(line), i+1)) || line[i] == 'S' && strings.Contains(line[:i], "-p") && line[i-1] == 'p' {
			return line[:i] + secret + line[i+1:]
		}
	}
	panic("no secret in " + line)
}

// positives is the labelled set: every kind of token in several contexts.
func positives() []labelled {
	r := rand.New(rand.NewPCG(1, 2))
	var all []labelled
	for i, k := range tokenKinds {
		for j := range 9 {
			h := holders[(i*7+j*5)%len(holders)]
			value := shape(r, k.shape)
			all = append(all, labelled{k.kind, h.context, hold(h.text, k.name, value), []string{value}})
		}
	}
	return append(all, places(r)...)
}

// TestRecall asks that documented formats are found, whatever holds them.
func TestRecall(t *testing.T) { measureRecall(t, positives()) }

func measureRecall(t *testing.T, samples []labelled) {
	t.Helper()
	s := newScanner(t, Config{})
	kinds := map[string]bool{}
	total, found := 0, 0
	for _, sample := range samples {
		kinds[sample.kind] = true
		findings := s.Scan([]byte(sample.text), nil)
		for _, secret := range sample.secrets {
			total++
			at := strings.Index(sample.text, secret)
			if at < 0 {
				t.Fatalf("%s in %s: the sample lacks its secret", sample.kind, sample.context)
			}
			if covered(findings, at, at+len(secret)) {
				found++
			} else {
				t.Logf("missed %s in %s: %q, found %v", sample.kind, sample.context, sample.text, findings)
			}
		}
	}
	recall := float64(found) / float64(total)
	t.Logf("%d kinds, %d secrets, recall %.4f", len(kinds), total, recall)
	if len(kinds) < 60 || total < 400 || recall < 0.97 {
		t.Errorf("recall %.4f over %d secrets of %d kinds, want 0.97 over 400 of 60", recall, total, len(kinds))
	}
}

// covered reports whether one finding is the secret at [start, end), give or
// take what encloses it.
func covered(findings []Finding, start, end int) bool {
	for _, f := range findings {
		if f.Start <= start && f.End >= end && f.Start >= start-12 && f.End <= end+2 {
			return true
		}
	}
	return false
}

func newScanner(t testing.TB, config Config) *Scanner {
	t.Helper()
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
