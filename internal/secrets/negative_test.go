package secrets

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"testing"
)

// cleanShapes are texts that look like secrets and are none. Each is drawn
// several times.
var cleanShapes = []string{
	"key: " + uuidShape + "\n", "id: " + uuidShape + "\n", "\"session_id\": \"" + uuidShape + "\",\n", "request_id=" + uuidShape + " status=200\n", "idempotency_key: " + uuidShape + "\n", "\"uuid\":\"" + uuidShape + "\"", "trace_id=<h32> span_id=<h16>\n",
	"cache_key: <h64>\n", "\"prompt_cache_key\": \"" + uuidShape + "\",", "\"cacheKey\":\"<h40>\"", "key: node-modules-<h64>\n", "cache-key = \"v1-deps-<h40>\"\n", "primary_key = \"<d8>\"\n", "partition_key: \"tenant#<d6>\"\n", "sort_key=\"ORDER#<d10>\"\n",
	"commit <h40>\nAuthor: alice\n", "git checkout <h40>\n", "<h64>  dist/app.tar.gz\n", "sha256: <h64>\n", "sha256sum = \"<h64>\"\n", "\"digest\": \"sha256:<h64>\",\n", "image: nginx@sha256:<h64>\n", "md5=<h32>\n", "etag: W/\"<h32>\"\n", "ETag: \"<h32>\"\n", "checksum = \"<h64>\"\n", "index <h7>..<h7> 100644\n", "From <h40> Mon Sep 17 00:00:00 2001\n",
	"github.com/pkg/errors v0.9.1 h1:<s43>=\n", "github.com/google/uuid v1.6.0/go.mod h1:<s43>=\n", "      \"integrity\": \"sha512-<s86>==\",\n", "integrity sha512-<s86>==\n", "integrity sha1-<s27>=\n", "<script src=\"/a.js\" integrity=\"sha384-<s64>\"></script>\n", "    --hash=sha256:<h64> \\\n", "resolved \"https://registry.yarnpkg.com/left-pad/-/left-pad-1.3.0.tgz#<h40>\"\n", "  resolution: {integrity: sha512-<s86>==}\n", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ<s340> alice@laptop\n", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI<s43> alice@laptop\n", "|1|<s27>=|<s27>= ssh-rsa AAAAB3NzaC1yc2E<s100>\n", "SHA256:<s43> alice@laptop (ED25519)\n",
	"DB_PASSWORD=${DB_PASSWORD}\n", "password: ${POSTGRES_PASSWORD:?required}\n", "TOKEN=$GITHUB_TOKEN\n", "api_key: {{ .Values.apiKey }}\n", "token: ${{ secrets.GITHUB_TOKEN }}\n", "password = var.db_password\n", "apiKey: os.Getenv(\"OPENAI_API_KEY\"),\n", "token := os.Getenv(\"GITHUB_TOKEN\")\n", "const apiKey = process.env.STRIPE_SECRET_KEY;\n", "password = os.environ[\"DB_PASSWORD\"]\n", "secret = os.environ.get(\"CLIENT_SECRET\")\n", "api_key=config.get('api_key')\n", "password: !vault |\n", "password: ENC[AES256_GCM,data:<s24>,iv:<s43>=,tag:<s22>==,type:str]\n", "password: <%= ENV['DB_PASSWORD'] %>\n", "secret_key: !Ref SecretKey\n", "TOKEN=$(cat /run/secrets/token)\n", "PASSWORD=`pass show db`\n", "password_file: /run/secrets/db_password\n", "POSTGRES_PASSWORD_FILE=/run/secrets/pg\n", "secretName: app-tls-<l5>\n", "secretKeyRef:\n  name: app-secrets\n  key: api-key\n", "export AWS_SECRET_ACCESS_KEY=$(aws configure get aws_secret_access_key)\n", "op://vault/item/password\n", "api_key: op://dev/openai/api-key\n", "%DB_PASSWORD%\n", "password=%s&user=%s\n", "secret: arn:aws:secretsmanager:eu-west-1:<d12>:secret:app/db-<a6>\n",
	"OPENAI_API_KEY=your-key-here\n", "api_key: YOUR_API_KEY\n", "password: changeme\n", "token: xxxxxxxxxxxxxxxxxxxxxxxx\n", "secret: <your-client-secret>\n", "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", "API_KEY=...\n", "password: ********\n", "password=REDACTED\n", "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\n", "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n", "STRIPE_KEY=sk_test_replace_me\n", "password: \"\"\n", "token: null\n", "apiKey: 'insert-api-key'\n", "SECRET_KEY=placeholder\n", "password = 'example'\n", "token = \"dummy-token\"\n", "password: test\n", "PGPASSWORD=postgres\n", "api_key = \"<API_KEY>\"\n",
	"postgres://user:password@localhost:5432/app\n", "postgres://postgres:postgres@localhost/app\n", "amqp://guest:guest@localhost:5672\n", "mysql://root:root@127.0.0.1/test\n", "redis://localhost:6379/0\n", "https://user:pass@example.com/\n", "postgres://${DB_USER}:${DB_PASS}@${DB_HOST}/app\n", "https://registry.npmjs.org/@types/node/-/node-<d2>.tgz\n", "http://127.0.0.1:8080/a@b\n", "git@github.com:acme/repo.git\n", "ssh://git@github.com:22/acme/repo.git\n", "mongodb://<username>:<password>@cluster0.mongodb.net\n", "https://oauth2:$TOKEN@gitlab.com/a/b.git\n", "postgres://app@db.internal/app\n", "https://<h32>@o<d6>.ingest.sentry.io/<d7>\n",
	"func SetPassword(password string) error {\n", "Password string `json:\"password\"`\n", "if password == \"\" {\n", "def login(user, password=None):\n", "\"password\": {\"type\": \"string\", \"minLength\": 8},\n", "<input type=\"password\" name=\"password\" placeholder=\"Enter your password\">\n", "password: z.string().min(8),\n", "token = tokenizer.next()\n", "tokens: 4096\n", "max_tokens=2048\n", "\"total_tokens\": <d5>,\n", "token_type: bearer\n", "this.token = token;\n", "const token = await getToken(user.id);\n", "secret = hashlib.sha256(seed).hexdigest()\n", "passwordField.setText(user.getPassword());\n", "\"passwordLabel\": \"Password\",\n", "password.reset.title=Reset your password\n", "ERROR: password authentication failed for user \"app\"\n", "The token expired at 2026-03-01T10:00:00Z\n", "case token.IDENT:\n", "key := strings.ToLower(name)\n", "for key, value := range headers {\n", "keyCode: 13,\n", "map_key=\"user_name\"\n", "data-key=\"row-<d4>\"\n", "const STORAGE_KEY = 'app.settings.v2';\n", "localStorage.getItem('auth_token')\n", "private_key_path = \"/etc/ssl/private/key.pem\"\n", "API_KEY_HEADER = \"X-API-Key\"\n", "secret_manager: aws\n", "auth: required\n", "\"auth\": {\"user\": \"x\"}\n", "author: alice <alice@example.com>\n", "token=self.token, key=self.key\n", "password = getpass.getpass('Password: ')\n", "password: this.form.value.password,\n", "access_token: response.data.access_token,\n", "client_secret=settings.CLIENT_SECRET,\n", "next_page_token: \"<b40>\"\n", "nextPageToken=<b30>\n", "csrf_token: <h32>\n", "publicKey: \"<s44>\"\n", "public_key = \"<h64>\"\n", "password_hash: $2b$12$<a53>\n", "password: $2y$10$<a53>\n", "root:$6$<a8>$<a86>:19000:0:99999:7:::\n",
	"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA<s400>==\n", "src: url(data:font/woff2;base64,d09GMgABAAAAA<s200>)\n", "!function(e,t){var n=e.token,r=e.key;t.password=n||\"\";e.apiKey=r}(a,b);\n", "var a={key:\"Enter\",code:13},token=e.tokens[0],secret=void 0;\n", "-----BEGIN CERTIFICATE-----\nMIID<s60>\n<s64>\n<s64>\n-----END CERTIFICATE-----\n", "-----BEGIN PUBLIC KEY-----\nMIIB<s60>\n<s64>\n-----END PUBLIC KEY-----\n", "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----\n", "const pem = '-----BEGIN PRIVATE KEY-----';\n", "__SECRET_github-token_ABCDEFGHIJKLMNOP__\n", "token: __SECRET_generic_<U16>__\n", "\"encrypted_content\": \"gAAAAAB<b400>\"\n", "color: #<h6>;\n", "v<d1>.<d2>.<d1>-beta.<d1>+<h7>\n", "2026-03-0<d1>T10:0<d1>:00.<d6>Z\n", "/usr/lib/x86_64-linux-gnu/libsecret-1.so.0.0.<d1>\n", "node_modules/.pnpm/@babel+core@7.<d2>.0/node_modules\n", "arn:aws:iam::<d12>:role/app-role\n", "pk_live_<a24>\n", "sentry: https://<h32>@sentry.io/<d6>\n", "C:\\Users\\alice\\AppData\\Local\\token\\new\n", "regexp.MustCompile(`(?i)api[_-]?key\\s*[:=]\\s*[\"']?([a-z0-9]{32})`)\n", "AKIA[0-9A-Z]{16}\n", "ghp_[a-zA-Z0-9]{36}\n",
	"Authorization: Bearer $TOKEN\n", "Authorization: Bearer <token>\n", "-H \"Authorization: Bearer ${OPENAI_API_KEY}\"\n", "Authorization: Basic $(echo -n user:pass | base64)\n", "'Authorization': `Bearer ${token}`,\n", "WWW-Authenticate: Basic realm=\"api\"\n", "curl -u \"$USER:$PASS\" https://x\n", "curl -u user:password https://api.example.com\n", "docker run -p 8080:80 -u 1000:1000 web\n", "--password-stdin\n", "mysql -u root -p shop\n", "machine example.com login user password changeme\n", "IDENTIFIED BY 'password'\n", "Basic dXNlcjpwYXNzd29yZA==\n",
}

func cleanSamples() []string {
	r := rand.New(rand.NewPCG(3, 4))
	var all []string
	for range 4 {
		for _, s := range append(cleanShapes[:len(cleanShapes):len(cleanShapes)], moreCleanShapes...) {
			all = append(all, drawIn(r, s))
		}
		blob := make([]byte, 600)
		for i := range blob {
			blob[i] = byte(r.Uint32())
		}
		all = append(all,
			"\"image_url\": \"data:image/jpeg;base64,"+base64.StdEncoding.EncodeToString(blob)+"\"",
			fmt.Sprintf("%x", blob[:64]),
			base64.StdEncoding.EncodeToString([]byte("The quick brown fox jumps over the lazy dog, and nothing here is private at all.")),
		)
	}
	return all
}

// TestCleanTextStaysClean asks that what only looks like a secret is let be.
func TestCleanTextStaysClean(t *testing.T) {
	s := newScanner(t, Config{})
	samples := cleanSamples()
	flagged := 0
	for _, text := range samples {
		if findings := s.Scan([]byte(text), nil); len(findings) > 0 {
			flagged++
			t.Logf("flagged %q: %v", text, findings)
		}
	}
	rate := float64(flagged) / float64(len(samples))
	t.Logf("%d clean samples, %d flagged (%.2f %%)", len(samples), flagged, 100*rate)
	if len(samples) < 500 || rate > 0.01 {
		t.Errorf("%.2f %% of %d clean samples flagged, want at most 1 %% of 500", 100*rate, len(samples))
	}
}
