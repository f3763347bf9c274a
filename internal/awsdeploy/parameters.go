package awsdeploy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	template "codex-proxy/deploy/aws"
)

// CodeParameters are the template's parameters that a deployment finds by itself.
var CodeParameters = []string{"CodeBucket", "CodeKey", "CodeSha256", "KeySecretArn"}

// Parameters are those of the template that say what an installation is made of:
// its name, its code, and the secret with the key (none where the ARN is empty).
func (a Account) Parameters(name string, code Code, keySecretARN string) map[string]string {
	parameters := map[string]string{"Name": name, "CodeBucket": a.CodeBucket(name), "CodeKey": code.Key(), "CodeSha256": code.SHA256()}
	if keySecretARN != "" {
		parameters["KeySecretArn"] = keySecretARN
	}
	return parameters
}

// names is what an installation may be called; the template says the same.
var names = regexp.MustCompile(`^[a-z][a-z0-9-]{1,18}[a-z0-9]$`)

// CheckName refuses a name that an installation cannot have.
func CheckName(name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("%q cannot name an installation: it takes 3 to 20 small letters, digits and dashes, a letter first and no dash last", name)
	}
	return nil
}

// CheckParameters refuses parameters that the template does not have.
func CheckParameters(parameters map[string]string) error {
	var known []string
	for _, p := range template.Parameters() {
		known = append(known, p.Name)
	}
	for name := range parameters {
		if !slices.Contains(known, name) {
			return fmt.Errorf("the template has no parameter %q: it has %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}
