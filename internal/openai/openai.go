// Package openai reads OpenAI's wire as Codex uses it: server-sent events,
// WebSocket frames, JSON answers, usage and error shapes.
//
// It reads and never rewrites. New event and item types appear with every
// release of Codex, so nothing here has a closed set of types, and what it does
// not know it passes over. It knows nothing of the proxy.
package openai
