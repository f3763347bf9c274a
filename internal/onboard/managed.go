package onboard

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Managed is what a managed machine's configuration of Codex (requirements.toml)
// says so that Codex uses the proxy whatever the developer's own files, profiles
// and flags say.
func Managed(provider Provider) string {
	return "model_provider = " + quote(providerKey) + "\n\n" + provider.Tables()
}

// The commands that print the token of whoever runs Codex.
var (
	unixTokenCommand    = []string{"sh", "-c", `cat "${CODEX_HOME:-$HOME/.codex}/codex-proxy-token"`}
	windowsTokenCommand = []string{"cmd", "/d", "/c", "type", `%USERPROFILE%\.codex\codex-proxy-token`}
)

// PrintManaged prints what a platform engineer pastes into the configuration of
// managed machines, for a proxy that serves what it offers. Each developer's token
// is read from their own home directory, or comes of their sign-in.
func PrintManaged(w io.Writer, address Address, offer Offer, bySignIn bool) error {
	provider := offer.Provider(address)
	managed := func(command []string, timeout time.Duration) string {
		provider.TokenCommand, provider.TokenTimeout = command, timeout
		return Managed(provider)
	}
	unix, windows := managed(unixTokenCommand, 0), managed(windowsTokenCommand, 0)
	needs := "Each developer still needs a token in ~/.codex/codex-proxy-token, which\n# 'codex-proxy setup' or the proxy's /setup.sh puts there."
	if bySignIn {
		signIn := SignInProvider("codex-proxy", address)
		unix = managed(signIn.TokenCommand, signIn.TokenTimeout)
		windows = unix
		needs = "codex-proxy must be in the PATH, and each developer\n# must have signed in with 'codex-proxy login'."
	}
	for _, block := range []string{
		`# Linux and macOS: /etc/codex/requirements.toml (root's, mode 0644). Binding: it beats the developer's
# config.toml, --profile and -c. ` + needs + `
#
# The same lines in /etc/codex/config.toml are only a default, which the developer's config.toml beats; in
# /etc/codex/managed_config.toml they beat config.toml and -c as well, but Codex calls that file legacy.

` + unix,
		`# Windows: %ProgramData%\OpenAI\Codex\requirements.toml

` + windows,
		"# macOS, by a configuration profile (save as codex-proxy.mobileconfig): the Linux lines in base64\n\n" + mobileConfig(address, unix),
	} {
		if _, err := io.WriteString(w, block+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// mobileConfig is a macOS configuration profile that forces Codex's preference
// requirements_toml_base64. Its ids depend on the address alone, so that a new
// version replaces the one before.
func mobileConfig(address Address, requirements string) string {
	id := func(part string) string {
		return strings.ToUpper(uuid.NewSHA1(uuid.NameSpaceURL, []byte(address.String()+"#"+part)).String())
	}
	return fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>PayloadType</key><string>Configuration</string>
	<key>PayloadVersion</key><integer>1</integer>
	<key>PayloadIdentifier</key><string>codex-proxy.requirements</string>
	<key>PayloadUUID</key><string>%s</string>
	<key>PayloadDisplayName</key><string>Codex through codex-proxy</string>
	<key>PayloadScope</key><string>System</string>
	<key>PayloadContent</key>
	<array>
		<dict>
			<key>PayloadType</key><string>com.apple.ManagedClient.preferences</string>
			<key>PayloadVersion</key><integer>1</integer>
			<key>PayloadIdentifier</key><string>codex-proxy.requirements.preferences</string>
			<key>PayloadUUID</key><string>%s</string>
			<key>PayloadContent</key>
			<dict>
				<key>com.openai.codex</key>
				<dict>
					<key>Forced</key>
					<array>
						<dict>
							<key>mcx_preference_settings</key>
							<dict>
								<key>requirements_toml_base64</key>
								<string>%s</string>
							</dict>
						</dict>
					</array>
				</dict>
			</dict>
		</dict>
	</array>
</dict>
</plist>
`, id("profile"), id("preferences"), base64.StdEncoding.EncodeToString([]byte(requirements)))
}
