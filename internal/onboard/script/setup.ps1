# Sets up Codex on this machine to use codex-proxy:
#
#     irm URL/setup.ps1 | iex
#
# For Windows PowerShell 5.1 and PowerShell 7. What it writes is the same as
# 'codex-proxy setup' writes; unlike that command it does not check all of
# config.toml's syntax: only that strings, arrays and inline tables end.
#
# A script that is piped into iex takes no arguments: CODEX_PROXY_TOKEN holds the
# token, else it is asked for, and CODEX_PROXY_SETUP may be dry-run or uninstall.
# Saved as a file, it takes -Token, -Url, -DryRun and -Uninstall.
param(
    [string] $Token = $env:CODEX_PROXY_TOKEN,
    [string] $Url = '@PUBLIC_URL@',
    [switch] $DryRun,
    [switch] $Uninstall
)

# Everything is in one function, so that half a download runs nothing, and nothing
# is left in the session that the script is piped into.
function Invoke-CodexProxySetup([string] $Token, [string] $Url, [bool] $DryRun, [bool] $Uninstall) {
    Set-StrictMode -Version 2.0
    $ErrorActionPreference = 'Stop'
    $isWindowsMachine = [Environment]::OSVersion.Platform -eq [PlatformID]::Win32NT

    # Every byte is one character, so that whatever config.toml holds stays as it is.
    $bytes = [Text.Encoding]::GetEncoding(28591)
    $utf8 = New-Object Text.UTF8Encoding $false

    # Read-Key returns the dotted key that a text begins with, a line for each part.
    function Read-Key([string] $Text) {
        $key = ''
        $rest = $Text
        while ($rest -cmatch '^[ \t]*(?:"([^"]*)"|''([^'']*)''|([A-Za-z0-9_-]+))[ \t]*(\.?)') {
            $key = $key + $Matches[1] + $Matches[2] + $Matches[3]
            if ($Matches[4] -ceq '') { return $key }
            $key = $key + "`n"
            $rest = $rest.Substring($Matches[0].Length)
        }
        return $key
    }

    # Step-Line follows strings, arrays and comments through a line. State.Quotes is
    # what ends the string of many lines that goes on, State.Depth how many arrays
    # and inline tables do.
    function Step-Line([hashtable] $State, [string] $Line, [int] $Number) {
        $rest = $Line
        while ($rest.Length -gt 0) {
            if ($State.Quotes -ceq '"""') {
                if (-not ($rest -cmatch '^(?:[^"\\]|\\(?:.|$)|"{1,2}(?!"))*"{3,5}')) { return }
                $State.Quotes = ''
            } elseif ($State.Quotes -ceq "'''") {
                if (-not ($rest -cmatch '^(?:[^'']|''{1,2}(?!''))*''{3,5}')) { return }
                $State.Quotes = ''
            } elseif ($rest -cmatch '^#') {
                return
            } elseif ($rest -cmatch '^(?:"""|'''''')') {
                $State.Quotes = $Matches[0]
                if ($State.Depth -eq 0) { $State.Opened = $Number }
            } elseif ($rest -cmatch '^[\[{]') {
                if ($State.Depth -eq 0) { $State.Opened = $Number }
                $State.Depth = $State.Depth + 1
            } elseif ($rest -cmatch '^[\]}]') {
                $State.Depth = $State.Depth - 1
            } else {
                $null = $rest -cmatch '^(?:"(?:[^"\\]|\\(?:.|$))*"?|''[^'']*''?|[^"''#\[\]{}]+)'
            }
            $rest = $rest.Substring($Matches[0].Length)
        }
    }

    # Edit-Config returns a config.toml edited as What says: our lines put in, anew
    # if they are there (setup), or taken out, with what was commented out for them
    # restored (remove); or its top-level model (model). Name is what Codex calls the
    # provider, Command how it gets the token. It throws what is wrong with the file.
    function Edit-Config([string] $What, [string] $Text, [string] $BaseUrl, [string] $WebSocket, [string] $Name, [string[]] $Command) {
        $begin = '# codex-proxy: begin'
        $end = '# codex-proxy: end'
        $was = '# codex-proxy: was: '
        $mark = ''
        if ($Text -cmatch '^\xef\xbb\xbf') {
            $mark = $Matches[0]
            $Text = $Text.Substring(3)
        }
        $eol = "`n"
        if ($Text -cmatch '^[^\n]*\r\n') { $eol = "`r`n" }
        $lines = @($Text -csplit "`n")
        $count = $lines.Length
        $lastEol = ''
        if ($lines[$count - 1] -ceq '') {
            $count = $count - 1
            $lastEol = "`n"
        }

        $out = New-Object 'System.Collections.Generic.List[string]'
        $state = @{ Quotes = ''; Depth = 0; Opened = 0 }
        $restore = @{}       # which of the lines in out were commented out
        $table = ''          # the header above, '' at the top level
        $model = ''
        $block = 0           # the line on which the block began that we are in
        $blocks = 0
        $mine = $false       # in that block: in one of our own tables
        $inner = $false      # in that block: in any table
        $blanks = 0          # blank lines of ours, unless something else follows
        $before = 0
        $separated = -1      # how many lines were kept when our second block began
        $endsInBlock = $false
        $keep = $true
        $comment = $false
        for ($i = 0; $i -lt $count; $i++) {
            $number = $i + 1
            $raw = $lines[$i]
            $line = $raw -creplace '\r$', ''
            $marker = $false
            if (($state.Quotes -ceq '') -and ($state.Depth -le 0)) {
                $state.Depth = 0
                $keep = $true
                $comment = $false
                $marker = $true
                if ($line -cmatch '^# codex-proxy: begin') {
                    if ($block -gt 0) { break }
                    $blocks = $blocks + 1
                    $block = $number
                    $mine = $false
                    $inner = $false
                    $blanks = 0
                    $before = $out.Count
                    $keep = $false
                } elseif (($block -gt 0) -and ($line -cmatch '^# codex-proxy: end')) {
                    $block = 0
                    $blanks = 0
                    $keep = $false
                    $endsInBlock = $true
                } elseif ($line -cmatch '^# codex-proxy: was: ') {
                    if ($table -ceq '') { $restore[$out.Count + $blanks] = $true }
                } elseif ($line -cmatch '^[ \t]*(?:#|$)') {
                    if (($block -gt 0) -and $mine -and ($line -ceq '')) {
                        $keep = $false
                        $blanks = $blanks + 1
                    }
                } else {
                    $marker = $false
                    $header = $line -cmatch '^[ \t]*\['
                    $path = Read-Key ($line -creplace '^[ \t]*\[+', '')
                    $full = $path
                    if ((-not $header) -and ($table -cne '')) { $full = $table + "`n" + $path }
                    $ours = $full -cmatch '^model_providers\ncodex-proxy(?:\n|$)'
                    # What follows our block is in the table above it.
                    if ($header -and (($block -eq 0) -or (-not $ours))) { $table = $path }
                    if ($block -gt 0) {
                        if ($header) {
                            $mine = $ours
                            $inner = $true
                            if ($mine -and ($separated -lt 0)) { $separated = $before }
                        }
                        if ($mine -or ((-not $inner) -and ($path -ceq 'model_provider'))) {
                            $keep = $false
                            $blanks = 0
                        }
                    } elseif ($What -ceq 'model') {
                        if ((-not $header) -and ($full -ceq 'model') -and ($line -cmatch '^[^=]*=[ \t]*["'']([A-Za-z0-9._:/-]+)["'']')) { $model = $Matches[1] }
                    } elseif ($What -ceq 'setup') {
                        if ($ours) { throw "line $number makes a provider codex-proxy by hand. Remove it, or rename it, and run this again." }
                        if (($full -ceq 'model_providers') -and (-not $header)) { throw "line $number has all providers in one inline table, to which none can be added. Write them as tables ([model_providers.NAME]), and run this again." }
                        $comment = ($table -ceq '') -and (($path -ceq 'model_provider') -or ($path -ceq 'openai_base_url'))
                    }
                }
            }
            if ($keep) {
                while ($blanks -gt 0) {
                    $out.Add($eol.Substring(0, $eol.Length - 1))
                    $blanks = $blanks - 1
                }
                if ($comment) { $raw = $was + $raw }
                $out.Add($raw)
                $endsInBlock = $false
            }
            if (-not $marker) { Step-Line $state $line $number }
        }
        if ($block -gt 0) { throw "line $block begins a block of codex-proxy that has no end. Put the line '$end' behind it, or delete the block." }
        if (($state.Quotes -cne '') -or ($state.Depth -gt 0)) { throw 'it is not valid TOML: what line ' + $state.Opened + ' opens is never closed.' }
        if ($What -ceq 'model') { return $model }

        if ($endsInBlock) { $lastEol = "`n" }
        $gone = -1
        if ($separated -gt 0) {
            $above = $out[$separated - 1] -creplace '\r$', ''
            if ($above -ceq '') {
                $gone = $separated - 1
            } elseif ($separated -eq $out.Count) {
                $lastEol = ''
                if ($eol -ceq "`r`n") { $out[$separated - 1] = $above }
            }
        }
        $begin = "$begin (written by codex-proxy setup; 'codex-proxy setup --uninstall' removes it)$eol"
        $end = "$end$eol"
        $result = $mark
        if ($What -ceq 'setup') { $result = $result + $begin + "model_provider = `"codex-proxy`"$eol" + $end }
        for ($i = 0; $i -lt $out.Count; $i++) {
            if ($i -eq $gone) { continue }
            $raw = $out[$i]
            if (($What -ceq 'remove') -and ($blocks -gt 0) -and $restore.ContainsKey($i)) { $raw = $raw.Substring($was.Length) }
            $result = $result + $raw
            if ($i -lt $out.Count - 1) { $result = $result + "`n" } else { $result = $result + $lastEol }
        }
        if ($What -ceq 'setup') {
            $program = ''
            $arguments = ''
            foreach ($word in $Command) {
                $quoted = '"' + ($word -creplace '(["\\])', '\$1') + '"'
                if ($program -ceq '') {
                    $program = $quoted
                } elseif ($arguments -ceq '') {
                    $arguments = $quoted
                } else {
                    $arguments = $arguments + ', ' + $quoted
                }
            }
            # One line ending stands before it: a blank line, or the end of a last line
            # that had none.
            $result = $result + $eol + $begin + "[model_providers.codex-proxy]$eol" +
                "name = `"$Name`"$eol" +
                "base_url = `"$BaseUrl`"$eol" +
                "wire_api = `"responses`"$eol" +
                "supports_websockets = $WebSocket$eol$eol" +
                "[model_providers.codex-proxy.auth]$eol" +
                "command = $program$eol" +
                "args = [$arguments]$eol" + $end
        }
        return $result
    }

    # Format-Diff returns a unified diff of two texts, with all of what they share
    # for context.
    function Format-Diff([string] $Name, [string] $Old, [string] $New) {
        $a = @()
        if ($Old -cne '') { $a = @(($Old -creplace '\n\z', '') -csplit "`n") }
        $b = @()
        if ($New -cne '') { $b = @(($New -creplace '\n\z', '') -csplit "`n") }
        $hunk = New-Object 'System.Collections.Generic.List[string]'
        $i = 0
        $j = 0
        while (($i -lt $a.Length) -or ($j -lt $b.Length)) {
            if (($i -lt $a.Length) -and ($j -lt $b.Length) -and ($a[$i] -ceq $b[$j])) {
                $hunk.Add(' ' + $a[$i])
                $i = $i + 1
                $j = $j + 1
                continue
            }
            $ahead = $j
            while (($i -lt $a.Length) -and ($ahead -lt $b.Length) -and ($a[$i] -cne $b[$ahead])) { $ahead = $ahead + 1 }
            if (($i -lt $a.Length) -and ($ahead -ge $b.Length)) {
                $hunk.Add('-' + $a[$i])
                $i = $i + 1
            } else {
                $hunk.Add('+' + $b[$j])
                $j = $j + 1
            }
        }
        return "--- $Name`n+++ $Name (new)`n@@ -1," + $a.Length + ' +1,' + $b.Length + " @@`n" + ($hunk -join "`n")
    }

    # Stop-Setup ends the script: what happened, and what to do next.
    function Stop-Setup([string] $Sentence, [int] $Code = 1) {
        $failure = New-Object System.InvalidOperationException $Sentence
        $failure.Data['codex-proxy'] = $Code
        throw $failure
    }

    # Format-Printable replaces what could steer the terminal.
    function Format-Printable([string] $Text) { return $Text -creplace '[\x00-\x08\x0b-\x1f\x7f-\x9f]', '?' }

    # Get-Value returns what a JSON document has at a path, $null if nothing.
    function Get-Value($Document, [string[]] $Path) {
        foreach ($name in $Path) {
            if (($Document -isnot [Management.Automation.PSCustomObject]) -or ($null -eq $Document.PSObject.Properties[$name])) { return $null }
            $Document = $Document.PSObject.Properties[$name].Value
        }
        return $Document
    }

    function ConvertTo-Document([string] $Text) {
        try { return ConvertFrom-Json $Text } catch { return $null }
    }

    # Send-Request asks the proxy, and follows no redirect: a token is not carried on
    # to wherever an answer points. It returns the status and the text.
    function Send-Request([string] $Path, [string] $Bearer, [string] $Body, [int] $Seconds) {
        Add-Type -AssemblyName System.Net.Http
        $handler = New-Object System.Net.Http.HttpClientHandler
        $handler.AllowAutoRedirect = $false
        $client = New-Object System.Net.Http.HttpClient $handler
        try {
            $client.Timeout = [TimeSpan]::FromSeconds($Seconds)
            $method = [System.Net.Http.HttpMethod]::Get
            if ($Body) { $method = [System.Net.Http.HttpMethod]::Post }
            $request = New-Object System.Net.Http.HttpRequestMessage $method, ($Url + $Path)
            if ($Bearer) { $null = $request.Headers.TryAddWithoutValidation('Authorization', "Bearer $Bearer") }
            if ($Body) { $request.Content = New-Object System.Net.Http.StringContent $Body, $utf8, 'application/json' }
            $answer = $client.SendAsync($request).GetAwaiter().GetResult()
            $text = $utf8.GetString($answer.Content.ReadAsByteArrayAsync().GetAwaiter().GetResult())
            return @{ Status = [int] $answer.StatusCode; Text = $text; Document = ConvertTo-Document $text }
        } catch {
            return @{ Status = 0; Text = $_.Exception.GetBaseException().Message; Document = $null }
        } finally {
            $client.Dispose()
        }
    }

    # Get-Sentence returns what an answer says was wrong.
    function Get-Sentence([hashtable] $Answer) {
        $sentence = Get-Value $Answer.Document 'error', 'message'
        if ((-not $sentence) -and ($Answer.Text -cnotmatch '^\s*[<{\[]')) { $sentence = $Answer.Text.Trim() }
        if (-not $sentence) { $sentence = "it gave no reason (status $($Answer.Status))." }
        return Format-Printable $sentence
    }

    # Confirm-Token asks the proxy whose token it is, before anything is changed.
    function Confirm-Token {
        $answer = Send-Request '/whoami' $Token '' 30
        $owner = Get-Value $answer.Document 'developer'
        if ($answer.Status -eq 0) { Stop-Setup "cannot reach the proxy at ${Url}: $($answer.Text) Nothing was changed." }
        if ($answer.Status -eq 401) { Stop-Setup "$(Get-Sentence $answer) Nothing was changed." }
        if (($answer.Status -ne 200) -and (Get-Value $answer.Document 'error', 'message')) {
            Stop-Setup "the proxy at $Url cannot check the token: $(Get-Sentence $answer) Nothing was changed."
        }
        if (($answer.Status -ne 200) -or (-not $owner)) {
            Stop-Setup "what answers at $Url is not a codex-proxy (status $($answer.Status)). Check the address. Nothing was changed."
        }
        $team = Get-Value $answer.Document 'team'
        if ($team) { $team = " (team $team)" }
        Write-Host (Format-Printable "This token belongs to $owner$team.")
    }

    # Get-Offer asks the proxy whether it carries WebSockets, and what Codex is to
    # call it; older ones do not say.
    function Get-Offer {
        $answer = Send-Request '/setup.json' '' '' 30
        if ($answer.Status -eq 0) { Stop-Setup "cannot reach the proxy at ${Url}: $($answer.Text) Nothing was changed." }
        $webSocket = Get-Value $answer.Document 'websocket'
        if (($answer.Status -ne 200) -or ($webSocket -isnot [bool])) {
            Stop-Setup "what answers at $Url is not a codex-proxy. Check the address. Nothing was changed."
        }
        $name = Get-Value $answer.Document 'provider_name'
        if (-not $name) { $name = 'codex-proxy' }
        if (($name -isnot [string]) -or ($name -cnotmatch '\A[A-Za-z0-9 ._-]+\z')) {
            Stop-Setup "the proxy at $Url wants a name for itself that cannot be written. Nothing was changed."
        }
        return @{ WebSocket = "$webSocket".ToLowerInvariant(); Name = $name }
    }

    # Resolve-Link returns the file that a symbolic link leads to.
    function Resolve-Link([string] $Path) {
        for ($i = 0; $i -lt 40; $i++) {
            $item = Get-Item -LiteralPath $Path -Force -ErrorAction SilentlyContinue
            if (($null -eq $item) -or ($item.LinkType -ne 'SymbolicLink')) { return $Path }
            $Path = [IO.Path]::GetFullPath([IO.Path]::Combine((Split-Path -Parent $Path), @($item.Target)[0]))
        }
        Stop-Setup "$Path is a symbolic link that leads in a circle."
    }

    # Protect-File lets nobody but its owner read a file.
    function Protect-File([string] $Path) {
        if ($isWindowsMachine) {
            $me = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value
            $null = icacls.exe $Path /inheritance:r /grant:r "*${me}:F"
        } else {
            chmod 600 $Path
        }
        if ($LASTEXITCODE -ne 0) { Stop-Setup "cannot keep $Path from others' eyes." }
    }

    # Write-Whole writes a file in one step: beside it first, then in its place. A
    # file that is replaced keeps its permissions, a new one is its owner's alone.
    function Write-Whole([string] $Path, [byte[]] $Content, [bool] $Private) {
        $staged = "$Path.new." + [Guid]::NewGuid().ToString('N')
        try {
            [IO.File]::WriteAllBytes($staged, (New-Object byte[] 0))
            $exists = Test-Path -LiteralPath $Path
            if ($Private -or (-not $exists)) { Protect-File $staged }
            [IO.File]::WriteAllBytes($staged, $Content)
            if ($exists -and $Private) { Remove-Item -LiteralPath $Path -Force }
            if ($exists -and (-not $Private)) {
                $file = Get-Item -LiteralPath $Path -Force
                $readOnly = $file.IsReadOnly
                if ($isWindowsMachine) {
                    $file.IsReadOnly = $false # Replace keeps all the rest
                } else {
                    [IO.File]::SetUnixFileMode($staged, [IO.File]::GetUnixFileMode($Path))
                }
                [IO.File]::Replace($staged, $Path, [NullString]::Value)
                if ($isWindowsMachine -and $readOnly) { (Get-Item -LiteralPath $Path -Force).IsReadOnly = $true }
            } else {
                [IO.File]::Move($staged, $Path)
            }
        } finally {
            if (Test-Path -LiteralPath $staged) { Remove-Item -LiteralPath $staged -Force }
        }
    }

    # Test-Folder makes sure, before anything is changed, that files can be written.
    function Test-Folder([string] $Path) {
        try {
            $null = New-Item -ItemType Directory -Force -Path $Path
            $probe = Join-Path $Path ('codex-proxy.new.' + [Guid]::NewGuid().ToString('N'))
            [IO.File]::WriteAllBytes($probe, (New-Object byte[] 0))
            Remove-Item -LiteralPath $probe -Force
        } catch {
            Stop-Setup "you have no permission to write in $Path, or the disk is full ($($_.Exception.GetBaseException().Message)). Nothing was changed."
        }
    }

    # Show-Change prints what would change in config.toml.
    function Show-Change([string] $Name, [string] $Old, [string] $New) {
        if ([string]::Equals($Old, $New)) {
            Write-Host "$Name would not change."
        } else {
            $shown = Format-Diff ($bytes.GetString($utf8.GetBytes($Name))) $Old $New
            Write-Host ($utf8.GetString($bytes.GetBytes($shown)))
        }
    }

    # Test-Answer makes one real request and prints the first line of its answer.
    function Test-Answer([string] $Model) {
        if (-not $Model) { $Model = 'gpt-6.1-sol' }
        $body = '{"model":"' + $Model + '","input":"Say hello in five words.","stream":true,"store":false,"instructions":"Be brief."}'
        $answer = Send-Request '/v1/responses' $Token $body 120
        if ($answer.Status -eq 0) { Stop-Setup "Codex is set up, but a first request did not get through: $($answer.Text)" }
        if ($answer.Status -ne 200) { Stop-Setup "Codex is set up, but a first request was refused: $(Get-Sentence $answer)" }
        $said = ''
        foreach ($line in ($answer.Text -csplit "`n")) {
            if ($line -cnotmatch '^data:') { continue }
            $data = ConvertTo-Document ($line.Substring(5))
            $type = Get-Value $data 'type'
            if ($type -ceq 'response.output_text.delta') { $said = $said + (Get-Value $data 'delta') }
            if ($type -ceq 'response.output_text.done') {
                $said = Get-Value $data 'text'
                break
            }
            $why = ''
            if ($type -ceq 'response.failed') { $why = Get-Value $data 'response', 'error', 'message' }
            if ($type -ceq 'error') { $why = Get-Value $data 'message' }
            if ($why) { Stop-Setup "Codex is set up, but a first request failed: $(Format-Printable $why)" }
        }
        if (-not "$said".Trim()) { Stop-Setup 'Codex is set up, but a first request got an empty answer.' }
        Write-Host "A first request was answered: $(Format-Printable ("$said".Trim() -csplit "`n")[0])"
    }

    # Show-Leftovers names what would lead Codex, or another tool, past the proxy.
    # Nothing of it is removed, and no value is printed.
    function Show-Leftovers([string] $CodexHome) {
        $why = @{
            OPENAI_API_KEY  = 'with it Codex, or another tool, can go past the proxy. Remove it.'
            OPENAI_BASE_URL = 'the current Codex ignores it. Remove it.'
        }
        foreach ($name in 'OPENAI_API_KEY', 'OPENAI_BASE_URL') {
            foreach ($scope in 'Process', 'User', 'Machine') {
                if ([Environment]::GetEnvironmentVariable($name, $scope)) {
                    Write-Warning "$name is set in the environment ($scope): $($why[$name])"
                }
            }
            foreach ($file in @($PROFILE.CurrentUserAllHosts, $PROFILE.CurrentUserCurrentHost, $PROFILE.AllUsersAllHosts, $PROFILE.AllUsersCurrentHost)) {
                if (-not (Test-Path -LiteralPath $file -PathType Leaf)) { continue }
                foreach ($found in @(Select-String -LiteralPath $file -Pattern ('^[^#]*\$env:' + $name + '\s*='))) {
                    Write-Warning "$file, line $($found.LineNumber), sets ${name}: $($why[$name])"
                }
            }
        }
        $auth = Join-Path $CodexHome 'auth.json'
        if ((Test-Path -LiteralPath $auth) -and (Get-Value (ConvertTo-Document ([IO.File]::ReadAllText($auth))) 'OPENAI_API_KEY')) {
            Write-Warning "$auth holds an OpenAI API key: $($why['OPENAI_API_KEY']) ('codex logout' does.)"
        }
    }

    function Install-Proxy([string] $CodexHome, [string] $Config, [string] $TokenFile) {
        if ((-not $Token) -and (-not $DryRun)) {
            if ([Console]::IsInputRedirected) { Stop-Setup 'no token: set CODEX_PROXY_TOKEN, or run this in a terminal to be asked for it.' }
            $secure = Read-Host -AsSecureString 'Your codex-proxy token (not shown)'
            $Token = (New-Object System.Net.NetworkCredential '', $secure).Password
            if (-not $Token) { Stop-Setup 'no token was typed. Nothing was changed.' }
        }
        if ($Token -cmatch '[^!-~]') { Stop-Setup 'the token has blanks, line breaks or other characters in it that no token has. Copy it again.' }
        if ($Token) { Confirm-Token }
        $offer = Get-Offer

        # Both are read as bytes; so the name of the token file is written as them.
        $readable = $bytes.GetString($utf8.GetBytes($TokenFile))
        $command = @('cat', $readable)
        if ($isWindowsMachine) {
            if ($TokenFile -cmatch '[&|<>^%]') { Stop-Setup "the folder $CodexHome has a character in its name that cmd.exe would take for its own. Set CODEX_HOME to another." }
            $command = @('cmd', '/d', '/c', 'type', $readable)
        }
        $exists = Test-Path -LiteralPath $Config -PathType Leaf
        $old = ''
        if ($exists) { $old = $bytes.GetString([IO.File]::ReadAllBytes($Config)) }
        try {
            $new = Edit-Config 'setup' $old "$Url/v1" $offer.WebSocket $offer.Name $command
            $theirs = Edit-Config 'remove' $old '' '' '' @()
            $model = Edit-Config 'model' $old '' '' '' @()
        } catch {
            Stop-Setup "$Config was not changed: $($_.Exception.Message)"
        }
        if ($DryRun) {
            Show-Change $Config $old $new
            Show-Leftovers $CodexHome
            return
        }
        Test-Folder $CodexHome
        Test-Folder (Split-Path -Parent $Config)
        # A copy is made of what the developer had without us.
        if ($exists -and [string]::Equals($old, $theirs)) {
            $stamp = Join-Path $CodexHome ('config.toml.backup-' + [DateTime]::UtcNow.ToString('yyyyMMdd-HHmmss', [Globalization.CultureInfo]::InvariantCulture))
            $copy = $stamp
            for ($i = 2; Test-Path -LiteralPath $copy; $i++) { $copy = "$stamp-$i" }
            Copy-Item -LiteralPath $Config -Destination $copy
            Write-Host "Backup: $copy"
        }
        Write-Whole $TokenFile ($bytes.GetBytes("$Token`n")) $true
        if ((-not $exists) -or (-not [string]::Equals($old, $new))) { Write-Whole $Config ($bytes.GetBytes($new)) $false }
        Write-Host "Codex is set up in $Config for $Url."
        Show-Leftovers $CodexHome
        Test-Answer $model
    }

    function Uninstall-Proxy([string] $CodexHome, [string] $Config, [string] $TokenFile) {
        $exists = Test-Path -LiteralPath $Config -PathType Leaf
        $old = ''
        if ($exists) { $old = $bytes.GetString([IO.File]::ReadAllBytes($Config)) }
        try {
            $new = Edit-Config 'remove' $old '' '' '' @()
        } catch {
            Stop-Setup "$Config was not changed: $($_.Exception.Message)"
        }
        if ([string]::Equals($old, $new) -and (-not (Test-Path -LiteralPath $TokenFile))) {
            Write-Host "Codex is not set up for codex-proxy in $CodexHome; nothing to remove."
            return
        }
        if ($DryRun) {
            Show-Change $Config $old $new
            return
        }
        Test-Folder $CodexHome
        Test-Folder (Split-Path -Parent $Config)
        if ($exists) {
            # Where there was a config.toml before ours, there is a copy of it.
            $copies = @(Get-ChildItem -LiteralPath $CodexHome -Filter 'config.toml.backup-*')
            if (($new -ceq '') -and ($copies.Length -eq 0)) {
                Remove-Item -LiteralPath $Config -Force
            } elseif (-not [string]::Equals($old, $new)) {
                Write-Whole $Config ($bytes.GetBytes($new)) $false
            }
        }
        if (Test-Path -LiteralPath $TokenFile) { Remove-Item -LiteralPath $TokenFile -Force }
        Write-Host "Codex no longer uses codex-proxy: $Config is as it was before."
    }

    try {
        if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
            Stop-Setup "this machine's PowerShell is restricted (ConstrainedLanguage). Use 'codex-proxy.exe setup' instead."
        }
        switch ("$env:CODEX_PROXY_SETUP") {
            '' { }
            'dry-run' { $DryRun = $true }
            'uninstall' { $Uninstall = $true }
            default { Stop-Setup 'CODEX_PROXY_SETUP may be dry-run or uninstall.' 2 }
        }
        # Windows PowerShell 5.1 may still offer older ones alone.
        [Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12
        $codexHome = $env:CODEX_HOME
        if (-not $codexHome) { $codexHome = Join-Path ([Environment]::GetFolderPath('UserProfile')) '.codex' }
        $codexHome = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($codexHome)
        $config = Resolve-Link (Join-Path $codexHome 'config.toml')
        $tokenFile = Join-Path $codexHome 'codex-proxy-token'
        if ($Uninstall) {
            Uninstall-Proxy $codexHome $config $tokenFile
        } else {
            $Url = $Url -creplace '/$', '' -creplace '/v1$', ''
            if ($Url -cmatch '^@') { Stop-Setup 'this copy of the script was not served by a proxy: name one with -Url.' 2 }
            if ($Url -cnotmatch '\Ahttps?://[A-Za-z0-9\[][A-Za-z0-9.:/_\[\]-]*\z') { Stop-Setup "the proxy's address must be like https://proxy.example.com." 2 }
            if ($Url -cnotmatch '^(?:https:|http://(?:127\.|localhost(?:[:/]|$)|\[::1\]))') {
                Write-Warning "$Url is not encrypted: everyone on the way can read your token and your prompts. Ask for an https:// address."
            }
            Install-Proxy $codexHome $config $tokenFile
        }
        return 0
    } catch {
        [Console]::Error.WriteLine("codex-proxy setup: $($_.Exception.Message)")
        if ($_.Exception.Data.Contains('codex-proxy')) { return $_.Exception.Data['codex-proxy'] }
        return 1
    }
}

# A script that is piped into iex must not close the window that it runs in.
$codexProxySetup = @(Invoke-CodexProxySetup $Token $Url ([bool] $DryRun) ([bool] $Uninstall))[-1]
Remove-Item -LiteralPath Function:Invoke-CodexProxySetup
if ($PSCommandPath) { exit $codexProxySetup }
if ($codexProxySetup -ne 0) { throw 'codex-proxy setup failed; the reason is above.' }
