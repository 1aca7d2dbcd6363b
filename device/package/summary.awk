# The summary of a run: awk -v format=json|markdown -f summary.awk predictions.tsv step-before.tsv step-now.tsv verdicts.tsv figures.tsv
# kernels.tsv ncu.csv
BEGIN { FS = "\t" }
{ file = FILENAME; sub(/.*\//, "", file) }
/^#/ || $0 == "" { next }

file == "predictions.tsv" && $1 == "flop" { flop_per_token = $2 }
file == "predictions.tsv" && $1 == "column" { reviewed[$3, $4] }
file == "predictions.tsv" && $1 == "card" { cards++; for (i = 2; i <= 5; i++) card[cards, i] = $i }
# Predicted milliseconds of each kernel, on the card that the review has times for of that architecture.
file ~ /^step-/ && $1 == "arch" { arch = $2 }
file ~ /^step-/ && $1 == "ms" && $4 != "-" {
    if (!($2 in known)) { known[$2]; kind[++kinds] = $2 }
    predicted_ms[file, arch, $2] = $4
    predicted_sum[file, arch] += $4
}
file == "predictions.tsv" && $1 == "peer" { peers++; peer_name[peers] = $2; peer_rate[peers] = $3 }
file == "verdicts.tsv" { items++; for (i = 1; i <= 6; i++) verdict[items, i] = $i }
file == "figures.tsv" { if (!($1 in figure)) order[++figures] = $1; figure[$1] = $2 }
file == "kernels.tsv" { kernels++; for (i = 1; i <= 4; i++) kernel[kernels, i] = $i; total_ms += $3; total_launches += $2 }
file == "ncu.csv" && /^"/ { counters($0) }

# The raw page of ncu: names, units, then a launch a line. Of each kernel the longest launch is kept.
function counters(line,    cells, n, i, name, ms) {
    sub(/^"/, "", line)
    sub(/"[ \r]*$/, "", line)
    n = split(line, cells, "\",\"")
    if (cells[1] == "ID") { for (i = 1; i <= n; i++) column[i] = cells[i]; columns = n; return }
    if (cells[1] == "") { for (i = 1; i <= n; i++) unit[column[i]] = cells[i]; return }
    for (i = 1; i <= n; i++) { gsub(/,/, "", cells[i]); cell[column[i]] = cells[i] }
    name = cell["Kernel Name"]
    sub(/\(.*/, "", name)
    ms = cell["gpu__time_duration.sum"] * (unit["gpu__time_duration.sum"] ~ /^n/ ? 1e-6 : unit["gpu__time_duration.sum"] ~ /^u/ ? 1e-3 : 1)
    if (name in longest && longest[name] >= ms) return
    if (!(name in longest)) counted[++launches] = name
    longest[name] = ms
    tensor[name] = find("pipe_tensor.*pct"); issue[name] = find("^sm__inst_issued.avg.pct"); dram[name] = find("dram__throughput.*pct")
    l2[name] = find("^lts__t.*throughput.*pct|^lts__throughput.*pct"); registers[name] = find("^launch__registers_per_thread$")
    occupancy[name] = find("^sm__warps_active.*pct"); conflicts[name] = find("^l1tex__data_bank_conflicts_pipe_lsu")
}
function find(pattern,    i) {
    for (i = 1; i <= columns; i++) if (column[i] ~ pattern) return cell[column[i]]
    return "-"
}

function measured(name,    i, ms) {
    for (i = 1; i <= kernels; i++) if (kernel[i, 1] == name) ms += kernel[i, 3]
    return ms + 0
}
# What is predicted of a kernel on this card, by the review or today.
function expected(when, name,    key) {
    key = "step-" when ".tsv" SUBSEP own SUBSEP name
    return full && (key in predicted_ms) ? predicted_ms[key] : "-"
}
function rate(when,    ms) {
    ms = predicted_sum["step-" when ".tsv", own]
    return full && ms > 0 ? sprintf("%.0f", tokens / ms * 1000) : "-"
}
function number(x) { return x ~ /^-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?$/ }
function quote(x) {
    gsub(/\\/, "\\\\", x)
    gsub(/"/, "\\\"", x)
    gsub(/[\001-\037]/, " ", x)
    return "\"" x "\""
}
function value(x) { return x == "" || x == "-" ? "null" : number(x) ? x + 0 : quote(x) }
function ratio(a, b) { return a > 0 && b > 0 ? sprintf("%.4g", a / b) : "-" }
function shown(x) { return x == "" ? "-" : x }

END {
    mine = 0
    for (i = cards; i >= 1; i--) if (figure["device"] ~ card[i, 2]) mine = i
    # Smaller and larger cards of an architecture are not the one that the review has times for.
    own = (figure["architecture"], figure["multiprocessors"]) in reviewed ? figure["architecture"] : "-"
    full = figure["model"] == "gpt-0.1b"
    ours = figure["speed.recompute_off.tokens_per_second"]
    if (ours == "") ours = figure["speed.recompute_on.tokens_per_second"]
    tokens = figure["batch"] * figure["seq_len"]
    peak = mine ? (card[mine, 3] != "-" ? card[mine, 3] : card[mine, 4]) : 0
    share = full && peak && ours ? sprintf("%.4g", ours * flop_per_token / (peak * 1e12)) : "-"
    predicted = rate("before")
    scaled = rate("now")
    for (i = 1; i <= items; i++) count[verdict[i, 3]]++
    # This summary is the last item.
    count["passed"]++
    if (format == "json") json(); else markdown()
}

function json(    i, n) {
    printf "{\"device\":%s,\"date\":%s,\"version\":%s,\"ran\":%d,\"passed\":%d,\"failed\":%d,\"absent\":%d,\n \"items\":[", value(figure["device"]),
        value(figure["date"]), value(figure["version"]), count["passed"] + count["failed"], count["passed"], count["failed"], count["absent"]
    for (i = 1; i <= items; i++)
        printf "%s\n  {\"item\":%d,\"name\":%s,\"verdict\":%s,\"seconds\":%d,\"limit\":%d,\"notes\":%s}", (i > 1 ? "," : ""), verdict[i, 1],
            quote(verdict[i, 2]), quote(verdict[i, 3]), verdict[i, 4], verdict[i, 5], quote(verdict[i, 6])
    printf "],\n \"figures\":{"
    for (i = 1; i <= figures; i++) printf "%s\n  %s:%s", (i > 1 ? "," : ""), quote(order[i]), value(figure[order[i]])
    printf "},\n \"tokens_per_second\":{\"measured\":%s,\"predicted_by_the_review\":%s,\"predicted_by_the_rule\":%s},\n", value(ours), value(predicted), value(scaled)
    printf " \"of_peer_eager\":%s,\"of_peer_compiled\":%s,\"share_of_peak\":%s,\"peak_tflops\":%s,\n \"kernels\":[", value(ratio(ours, figure["peer.eager.tokens_per_second"])),
        value(ratio(ours, figure["peer.compiled.tokens_per_second"])), value(share), value(peak ? peak : "-")
    for (i = 1; i <= kernels; i++)
        printf "%s\n  {\"name\":%s,\"launches\":%d,\"ms\":%s,\"longest_ms\":%s}", (i > 1 ? "," : ""), quote(kernel[i, 1]), kernel[i, 2], value(kernel[i, 3]), value(kernel[i, 4])
    printf "],\n \"predictions\":["
    for (i = 1; i <= kinds; i++)
        printf "%s\n  {\"kernel\":%s,\"review_ms\":%s,\"rule_ms\":%s,\"measured_ms\":%s}", (i > 1 ? "," : ""), quote(kind[i]),
            value(expected("before", kind[i])), value(expected("now", kind[i])), value(full && kernels ? measured(kind[i]) : "-")
    printf "],\n \"counters\":["
    for (i = 1; i <= launches; i++) {
        n = counted[i]
        printf "%s\n  {\"kernel\":%s,\"ms\":%s,\"tensor_percent\":%s,\"issue_percent\":%s,\"dram_percent\":%s,\"l2_percent\":%s,\"bank_conflicts\":%s,\"registers\":%s,\"occupancy_percent\":%s}",
            (i > 1 ? "," : ""), quote(n), longest[n], value(tensor[n]), value(issue[n]), value(dram[n]), value(l2[n]), value(conflicts[n]), value(registers[n]), value(occupancy[n])
    }
    print "]}"
}

function markdown(    i, n) {
    printf "# PRIMAL on %s, %s\n%s, %s multiprocessors, %s; driver %s; version %s\n\n", figure["device"], figure["date"], figure["architecture"],
        figure["multiprocessors"], figure["memory"], figure["driver"], figure["version"]
    printf "%d items ran: %d passed, %d failed; %d absent, neither passed nor failed.\n\n", count["passed"] + count["failed"], count["passed"], count["failed"], count["absent"]
    print "| item | verdict | s | notes |\n|---|---|---|---|"
    for (i = 1; i <= items; i++) printf "| %d %s | %s | %d of %d | %s |\n", verdict[i, 1], verdict[i, 2], verdict[i, 3], verdict[i, 4], verdict[i, 5], verdict[i, 6]
    printf "\n## %s, %d x %d\n| | predicted by the review | by the rule | measured |\n|---|---|---|---|\n", figure["model"], figure["batch"], figure["seq_len"]
    printf "| tokens/s | %s | %s | %s |\n", predicted, scaled, shown(ours)
    for (i = 1; i <= peers; i++) printf "| %s on an H100, tokens/s | %s | | |\n", peer_name[i], peer_rate[i]
    for (i = 1; i <= figures; i++) if (order[i] ~ /^(speed|generate|peer)\./) printf "| %s | | | %s |\n", order[i], figure[order[i]]
    printf "| of the peer, eager | | | %s |\n| of the peer, compiled | | | %s |\n", ratio(ours, figure["peer.eager.tokens_per_second"]), ratio(ours, figure["peer.compiled.tokens_per_second"])
    printf "| share of the card's peak (%s TFLOP/s) | | | %s |\n", peak ? peak : "unknown", share
    if (kernels) {
        printf "\n## Milliseconds of one step, by events: %d launches, %.2f ms\n", total_launches, total_ms
        if (full) {
            print "| kernel | predicted by the review | by the rule | measured |\n|---|---|---|---|"
            for (i = 1; i <= kinds; i++)
                printf "| %s | %s | %s | %.2f |\n", kind[i], expected("before", kind[i]), expected("now", kind[i]), measured(kind[i])
            print ""
        }
        print "| kernel | launches | ms | longest |\n|---|---|---|---|"
        for (i = 1; i <= kernels; i++) printf "| %s | %d | %s | %s |\n", kernel[i, 1], kernel[i, 2], kernel[i, 3], kernel[i, 4]
    }
    if (launches) {
        print "\n## Counters: the longest launch\n| kernel | ms | tensor % | issue % | DRAM % | L2 % | bank conflicts | registers | occupancy % |\n|---|---|---|---|---|---|---|---|---|"
        for (i = 1; i <= launches; i++) {
            n = counted[i]
            printf "| %s | %.4f | %s | %s | %s | %s | %s | %s | %s |\n", n, longest[n], tensor[n], issue[n], dram[n], l2[n], conflicts[n], registers[n], occupancy[n]
        }
    }
}
