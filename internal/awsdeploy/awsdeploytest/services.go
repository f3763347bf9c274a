package awsdeploytest

import (
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// secret is a secret of Secrets Manager.
type secret struct {
	text    string
	leaving bool
	written int
}

// Secret returns the text of a secret and how often one was written into it.
func (a *AWS) Secret(name string) (text string, written int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.secrets[name]; s != nil {
		return s.text, s.written
	}
	return "", 0
}

// Leaving tells whether a secret is marked for deletion.
func (a *AWS) Leaving(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.secrets[name] != nil && a.secrets[name].leaving
}

func (a *AWS) secretsManager(call string, asked map[string]any) (answer any, code string) {
	name, _ := asked["SecretId"].(string)
	if name == "" {
		name, _ = asked["Name"].(string)
	}
	text, _ := asked["SecretString"].(string)
	s := a.secrets[name]
	described := map[string]any{"ARN": "arn:aws:secretsmanager:eu-central-1:" + Account + ":secret:" + name + "-AbCdEf", "Name": name}
	switch {
	case call == "CreateSecret" && s == nil:
		a.secrets[name] = &secret{text: text, written: 1}
	case call == "CreateSecret":
		return nil, "ResourceExistsException"
	case s == nil:
		return nil, "ResourceNotFoundException"
	case call == "DescribeSecret":
		if s.leaving {
			described["DeletedDate"] = 1772355600
		}
	case call == "RestoreSecret":
		s.leaving = false
	case s.leaving:
		return nil, "InvalidRequestException"
	case call == "GetSecretValue":
		described["SecretString"] = s.text
	case call == "PutSecretValue":
		s.text, s.written = text, s.written+1
	case call == "DeleteSecret":
		s.leaving = true
	default:
		return nil, "InvalidRequestException"
	}
	return described, ""
}

// Alarm is an alarm of CloudWatch.
type Alarm struct{ Name, State, Means string }

// Ring sets the alarms that there are.
func (a *AWS) Ring(alarms ...Alarm) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.alarms = alarms
}

// Log sets what the log holds.
func (a *AWS) Log(lines ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = lines
}

func (a *AWS) alarmsCBOR() []byte {
	alarms := cbor.List{}
	for _, alarm := range a.alarms {
		alarms = append(alarms, cbor.Map{
			"AlarmName": cbor.String(alarm.Name), "StateValue": cbor.String(alarm.State), "AlarmDescription": cbor.String(alarm.Means),
			"StateUpdatedTimestamp": &cbor.Tag{ID: 1, Value: cbor.Uint(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC).Unix())},
		})
	}
	return cbor.Encode(cbor.Map{"MetricAlarms": alarms})
}

func (a *AWS) logLines() any {
	events := []map[string]any{}
	for _, line := range a.lines {
		events = append(events, map[string]any{"timestamp": time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC).UnixMilli(), "message": line})
	}
	return map[string]any{"events": events}
}

// Leave marks a secret for deletion.
func (a *AWS) Leave(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.secrets[name].leaving = true
}
