package upstream

import "testing"

func TestOpenAIIsKnownByItsHost(t *testing.T) {
	for address, want := range map[string]bool{
		"https://api.openai.com/v1":                     true,
		"https://API.OpenAI.com:443/v1":                 true,
		"https://api.openai.com./v1":                    true,
		"https://eu.api.openai.com/v1":                  true,
		"https://openai.com/v1":                         false,
		"https://api.openai.com.evil.example.com/v1":    false,
		"https://notapi.openai.com/v1":                  false,
		"https://example.openai.azure.com/openai/v1":    false,
		"https://gateway.example.com/api.openai.com/v1": false,
		"http://127.0.0.1:8080/v1":                      false,
	} {
		parsed, err := ParseURL(address)
		if err != nil {
			t.Fatal(err)
		}
		if IsOpenAI(parsed) != want {
			t.Errorf("%s is taken for OpenAI: %t", address, !want)
		}
	}
}
