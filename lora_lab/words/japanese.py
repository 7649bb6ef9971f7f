"""What is said in more than one place, in Japanese."""

TEXTS = {
    "only": "{it}",
    "unit": "点",
    # 場所と値
    "change": "{reference} → {level}",
    "setting_value": "{label} {value}",
    "under_title": "{label}（{value}の場合）",
    "settings_unknown": "ほかの{n}項目は不明",
    "setting_unknown": "{labels}は不明",
    "with_settings": "（{settings}の場合）",
    "with_reference": "（ほかは基準と同じ場合）",
    "stage_epoch": "{epoch}エポック",
    "stage_step": "{step}ステップ",
    "time_seconds": "{n}秒",
    "time_minutes": "{n}分",
    "score": "評価点",
    "between": "{low}〜{high}",
    # 変更ごとの判定
    "call_helps": "良くなる",
    "call_hurts": "悪くなる",
    "call_mixed": "値による",
    "call_depends": "ほかの設定による",
    "call_no difference": "差はない",
    "call_not decided": "判定できない",
    "call_seems to help": "良くなるように見える",
    "call_seems to hurt": "悪くなるように見える",
    "call_seems mixed": "値によるように見える",
    "call_interacts": "互いに影響する",
    "call_seems to interact": "互いに影響するように見える",
    # 設定ごとの判定
    "finding_helps": "変えると良くなる",
    "finding_hurts": "変えると悪くなる",
    "finding_mixed": "良くなる値と悪くなる値がある",
    "finding_depends": "ほかの設定による",
    "finding_no difference": "意味のある差はない",
    "finding_not decided": "判定できない",
    "finding_seems to help": "変えると良くなるように見える",
    "finding_seems to hurt": "変えると悪くなるように見える",
    "finding_seems mixed": "良く見える値と悪く見える値がある",
    # 設定について
    "call_by": "{change}で{call}（{difference}）",
    "call_by_pairs": "{change}で{call}（{difference}）：{pairs}",
    "call_depends_by": "{change}はほかの設定による：{pairs}",
    "pair_at": "{difference}{place}",
    "pairs_more": "{pairs}、ほか",
    "call_pairs": "：{pairs}",
    "call_holds": "（やり直しのぶれが標準偏差{limit}までなら成り立つ）",
    "call_no_larger": "（あっても{bound}まで）",
    "holds_if": "{text}。やり直したときのぶれが{limit}{unit}（標準偏差）未満なら成り立つ",
    "no_larger": "差があっても{value}{unit}まで",
    "undecided": "判定できない：{what}",
    "undecided_one_training": (
        "判定できない：どちらも同じ学習のチェックポイントで、偶然のずれを共有している。別のシードで学"
        "習すると"
        "わかる"
    ),
    "undecided_conflict": "判定できない：組ごとの差が偶然では説明できないほど食い違い、平均には意味がない",
    "undecided_unmeasured": "判定できない：やり直しのぶれが測られていない",
    "undecided_unmeasured_more": "判定できない：やり直しのぶれが測られていない。{what}",
    "undecided_if": "本当に{value}なら、あと{runs}でわかる見込み",
    "undecided_find": "あと{runs}あれば{value}{unit}の差がわかる見込み",
    "undecided_bound": "差は{value}{unit}あるかもしれない",
    "runs_of": "{n}件（{each}）",
    "runs_each": "{run}を{n}件",
    "runs_one": "1件（{run}）",
    # 互いに影響し合う設定
    "interaction": "{label} {change}：{other}が{low}のとき{one}、{high}のとき{two}",
    "interaction_open": "{text}：互いに影響するかどうかは判定できない",
    "interaction_none": "{text}：差はない",
    "interaction_assumed": "  不明な設定{n}項目は同じとみなした",
    # 偶然のぶれ
    "noise_none": ("偶然のぶれ：{why}、どれだけぶれるかわからず、何も検定していない"),
    "noise_plain": (
        "偶然のぶれ：同じ設定でやり直すと点数は{sd}ぶれる（標準偏差、{low}〜{high}。{groups}で測定）。{each}"
    ),
    "noise_reckoned": (
        "偶然のぶれ：測定値は{sd}（標準偏差、{low}〜{high}、自由度{df}、{groups}）。1回だけの学習では"
        "{reckoned}とみなす：{prior}。{each}"
    ),
    "noise_assumed": (
        "偶然のぶれ：測定ではなく仮定：やり直すと点数は{sd}ぶれる（標準偏差）とみなす。1件どうしでは"
        "{smallest}以上の差で違うと判定する"
    ),
    "noise_earlier": "偶然のぶれ：ここでは測っていない。{prior}。{each}",
    "noise_unmeasured": (
        "偶然のぶれ：{why}測れず、何も検定していない。「ように見える」は見たままの"
        "記述で、ぶれが予想どおりなら判定できる差を指す：{prior}。{way}。"
        "--noise-floor N で仮定もできる"
    ),
    "noise_why_none": "シードを変えたやり直しがないため",
    "noise_why_ends": "{runs}のやり直しに0点か100点があり、ぶれが見えないため",
    "noise_way_replicates": "スイープファイルの `replicates: 3` で測れる",
    "noise_way_between": "中間の点数の学習をやり直せば測れる（`lora-lab suggest`）",
    "noise_each": "1件どうしでは{smallest}以上の差で確かに違うと判定する",
    "prior_shipped": "予想は{sd}で、やり直し{df}回分の重みを持つ（デモで問題なく動いた設定の値）",
    "prior_earlier": "これまでのスイープでは{sd}で、やり直し{df}回分の重みを持つ（{sweeps}）",
    "groups_many": "2回以上学習した{n}通りの設定、{runs}件",
    "noise_unequal": (
        "やり直しのぶれが設定によって違う（{steady}は{least}、{wild}は{most}、p {p}）：それぞれの値で"
        "計算した。"
        "基準だけでなく全部をもう一度学習するとよい"
    ),
    "noise_ends": "{runs}：0点や100点ではぶれが見えないため、測定には使っていない",
    # 何回目か
    "look": (
        "点数が増えてから{n}回目の判定です。くり返し見ることで偶然が有利にならないように、それだけ見"
        "た設定は"
        "5%ではなく{level}%で検定し、区間も広げています"
    ),
    "look_first": "この点数での最初の判定です",
    "counted": (
        "5%で{n}件を比べた：何の効果もなくても、約{by_chance}件は偶然に判定される。* の付いたものは、全部の"
        "設定をまとめて数えても成り立つ。1回だけの学習には、それ自体のぶれがわからないため * が付かない"
    ),
    "counted_untested": "{n}件を比べた。多くの差のうち最大のものは、いくらかは偶然",
    # 誰が評価したか
    "by_metric_loud": (
        "人ではなく自動指標{metric}による判定：見た目の印象と一致するとは限らない。大きいほど良いとみなす"
    ),
    "runs_judged": "点数のある学習は{n}件。それぞれ{rule}で評価",
    "runs_judged_without": "点数のある学習は{n}件、ないものは{without}件（下記）。それぞれ{rule}で評価",
    "runs_external": "ほかで学習し、同じように評価したもの：{scores}",
    "by_last": "最後のチェックポイント",
    "by_best": "最良のチェックポイント",
    "by_tag": "チェックポイント{tag}",
    "rater": "{name}：{n}回採点{level}{again}{drift}",
    "rater_level": "、ほかの人より{level}",
    "rater_again": "、1回の採点のぶれは{sd}（標準偏差、{low}〜{high}、再提示{n}回）",
    "rater_never": "、採点のぶれは未測定",
    "rater_drift": "、10回の採点で{drift}動く",
    "raters_agree": "採点者どうしの一致度{alpha}（クリッペンドルフのα。1は完全、0は偶然並み）",
    # チェックポイントの推移
    "course_best_at": "最良は{stage}（{score}）",
    "course_over": "{best}、最後は{last}：学習しすぎ",
    "course_rising": "最後まで上昇中（{stage}から{gain}）：もっと長く試すとよい",
    "course_flat": "{stage}からはっきりした変化なし（{best}）",
    "course_settled": "{best}。その直前や後とはっきりした差はない",
    "courses_flat": "チェックポイントによるはっきりした変化なし：{runs}",
    # 点数がない理由
    "missing_status": "{status}：{reason}",
    "missing_best": "まだどのチェックポイントも採点されていない",
    "missing_checkpoint": "そのチェックポイントがない",
    "missing_shown": "プレビューが見られる画像ではない（{flag}）",
    "missing_score": "チェックポイント{tag}はまだ採点されていない",
    "missing_bound": "表には{bound}としか書かれていない",
    "shows_nothing": "プレビューに何も写っていない",
    # 自動指標
    "agree_none": "一致するとは言えない：判断に使わないこと",
    "agree_little": "少し一致する：目安にはなるが判断はできない",
    "agree_little_reversed": "逆向きに少し一致する：目安にはなるが判断はできない",
    "agree_broken": "失敗した学習と成功した学習は見分けるが、上位半分の順位は示せていない",
    "agree_broken_reversed": "逆向きに、失敗と成功は見分けるが、上位半分の順位は示せていない",
    "agree_much": "採点とほぼ同じ順に並べる（上位半分でも）",
    "agree_much_reversed": "採点とほぼ逆の順に並べる（上位半分でも）",
    # おすすめの根拠
    "best_score": "最高点は{run}：{score}{at}{mean}",
    "best_at": "（{stage}）",
    "best_mean": "（やり直し{n}件の平均）",
    "rivals_unknown": (
        "偶然で点数がどれだけ動くか測られていないため、ほかの学習も同じくらい良いかもしれない"
    ),
    "rivals_none": "同じくらい良いとみなせるほど近い学習はほかにない{assumed}",
    "rivals_are": "この点数では差を判別できないもの{assumed}：{runs}",
    "rivals_assumed": "（仮定したぶれによる）",
    "run_score": "{run}（{score}）",
    "and_more": "{runs}、ほか{n}件",
    "list_more": "{list}、ほか{n}件",
    "cheaper_less": "{run}は{less}点低いだけで、{longer}ではなく{time}で済む",
    "cheaper_equal": "{run}は同じ点数で、{longer}ではなく{time}で済む",
    "cheap_rival": "そのうち{run}は安く、{longer}ではなく{time}で済む",
    "of_luck": "{n}件の最高点にはいくらか運も入っている：学習し直すと{score}くらいの見込み",
    "by_model": (
        "代わりに{run}を選ぶ：全学習をまとめたモデル（除いた学習の点を予測できる）の見込みは{run}が{score}、{best}が{other}"
    ),
    "has_setting": "{title}は{value}で、{changes}",
    "has_setting_though": "{title}は{value}だが、{changes}：そちらも試すとよい",
    # 注記
    "note_floor": "ぶれが測られているため、--noise-floor は使っていない",
    "note_best_alike": "どの学習も最良のチェックポイントで評価したため、すべて同じだけ高めに出ている",
    "note_best_more": (
        "どの学習も最良のチェックポイントで評価した：採点されたチェックポイントの多い学習ほど有利で、"
        "それだけで"
        "良く見える。--checkpoint last ならこの偏りはない"
    ),
    "note_same": "{runs}と{origin}は同じ実験で、1件として数えた",
    "note_same_why": "{runs}と{origin}は同じ実験で、1件として数えた",
    "note_assumed": "不明な設定は両方で同じとみなして組にしたものがある",
    "note_raters": (
        "採点者が複数いるため、共通に採点したものをもとに、甘さと（わかる範囲で）点の開きをそろえた"
    ),
    "note_group": (
        "{raters}は、ほかの人と共通に採点したチェックポイントがない：その点数はほかの人の点数と比べて"
        "いない。"
        "両方が採点したものが2、3個あればつながる"
    ),
    "note_sessions_apart": (
        "{rater}の{n}回のセッションには、共通のチェックポイントがないものがある：片方が厳しかったかどうかは"
        "わからない。前のものを2、3個もう一度見せるとよい"
    ),
    "note_sessions_joined": "{rater}の{n}回のセッションは、共通に採点したものをもとに水準をそろえた",
    "note_reread": "以前の版で学習したもの：設定は、画像なしで読み直した",
    "note_unkept": "この判定は記録できず、次の判定はこれを数えない：{error}",
    "note_columns": "lora_lab の設定にない列は、それぞれ独立した設定とみなした：{columns}",
    "note_damage": "{file}の壊れた{n}行を除いた：{lines}",
    "note_shots": "別の画像（{left}）の{scores}を除き、{taken}のものを使った",
    "note_rendered": "その後に描き直して採点し直した画像の{scores}を除いた",
    "note_other_previews": "別のプロンプトやプレビュー設定で描いた画像の{scores}を除いた",
    "note_replaced": "{judged}個のうち{n}個の点数は、その後に置き換えられた画像へのもの。"
    "その画像はプレビューの隣のjudged-*フォルダにある",
    "note_gone": (
        "LoRAファイル{n}個がなくなっている（{places}）。評価はそのままだが書き出せない。"
        "同じコマンドで学習し直せる"
    ),
    "comparisons_n": "{n}回の比較",
    "scores_n": "{n}個の点数",
    "shots_unwritten": "記録のない画像",
    "shots_prompt": "プロンプト{values}",
    "shots_prompts": "プロンプト{values}",
    "shots_seed": "シード{values}",
    "shots_seeds": "シード{values}",
    "shots_strength": "強さ{values}",
    "shots_strengths": "強さ{values}",
    "gap": "ほかと比べていない：{runs}：{reason}",
    "gap_external": "ほかで学習したもので、設定のすべては分からない",
    "gap_reread": (
        "以前の版で学習し、確定した設定の記録がない：スイープをもう一度始めると、学習せずに書き足される"
    ),
    "model_change": "{label} {change}：{difference}（標準偏差{sd}）",
    "note_model": (
        "一つだけ違う組がない設定について、全学習をまとめたモデルの見込み（検定ではない。設定の効果は足し算で、"
        "二つの設定の組み合わせも考える）：{each}"
    ),
    "note_model_checked": (
        "このモデルは、{n}件の学習を1件ずつ除いて予測すると点の分散の{explained}を説明する（順位相関{rank}）。"
        "残差は標準偏差{residual}、最大は{run}の{most}"
    ),
    "note_sources": ("ぶれの内訳（1件の点の標準偏差）：{parts}。合わせて{now}。{options}：{advice}"),
    "source_training": "学習{sd}",
    "source_images": "画像{sd}（1件につき{n}枚）",
    "source_eye": "目{sd}",
    "source_session": "同じ人の回ごとの水準{sd}（共通のチェックポイントがあれば差し引く）",
    "buy_runs": "全部をもう1回ずつ学習",
    "buy_images": "画像を2倍",
    "buy_looks": "採点者全員がもう1回見る",
    "advise_runs": "学習を増やすのが効く",
    "advise_images": "画像を増やすほうが安い",
    "advise_looks": "もう一度見るほうが安い",
    "buy_brings": "{what}で{sd}になる",
    "importance_few": "重要度には、点数のある異なる学習が{fewest}件以上必要（いまは{n}件）",
    "importance_settings": "重要度には、どの学習にもあり、値の違う設定が2つ必要",
    # 端末とギャラリーの判定ページ
    "of_runs": "{runs}：{text}",
    "call_said": "{call}：{sentence}",
    "title_settings": "設定：",
    "title_settings_more": "1つだけ変えたときの効果（ほかはすべて同じ学習どうしの組）",
    "settings_none": "1つの設定だけが違い、どちらにも点数のある学習の組がない",
    "settings_together": "いつも一緒に変えたため区別できない設定：{labels}",
    "head_setting": "設定",
    "head_change": "変更",
    "head_pairs": "組",
    "head_effect": "差",
    "head_interval": "95%区間",
    "head_verdict": "判定",
    "title_interactions": "互いに影響し合う設定：",
    "interactions_more": "ほか{n}件、判定できない",
    "title_courses": "チェックポイントの推移：",
    "title_courses_more": "1つの学習の中の画像なので、目安であって検定ではない",
    "title_costs": "点数とコスト：",
    "title_costs_more": "より安くて同じ点数の学習がないもの。6つに1つほどは偶然",
    "head_run": "学習",
    "head_score": "評価点",
    "head_training": "学習時間",
    "head_memory": "メモリー",
    "head_file": "ファイル",
    "head_best_for": "最良の点",
    "cost_minutes": "時間",
    "cost_memory": "メモリー",
    "cost_size": "大きさ",
    "title_usable": "成功した学習：",
    "title_usable_more": "何かが写った画像で終わった割合と95%区間",
    "usable": "{label} {value}：{n}件中{good}件（{low}〜{high}）、ほかは{of}件中{others}件。{reasons}",
    "title_metrics": "自動指標と点数：",
    "title_metrics_more": "学習ごとの順位相関、95%区間",
    "metric": "{metric}：{rho}（{low}〜{high}、{n}件{above}）、{sentence}",
    "metric_above": "、上位半分では{rho}",
    "title_ranking": "ブラインド比較：",
    "title_ranking_more": "{n}回、点数とは別の順位（Bradley-Terry、95%）",
    "ranked": "{run} {tag}：{strength}（{low}〜{high}）、比較{n}回{bad}{follows}",
    "ranked_bad": "、両方だめ{n}回",
    "ranked_above": "、次より上の確率{chance}",
    "title_importance": "重要度：",
    "title_importance_more": "fANOVA、分散の割合。点数を入れ替えた場合を上回るものだけに意味がある",
    "importance_above": "{label}：{share}、入れ替えでは{null}まで：偶然以上",
    "importance_chance": "{label}：{share}、入れ替えでは{null}まで：偶然と変わらない",
    "title_recommended": "おすすめ：",
    "recommended_run": "{run}{tag}（{score}点）",
    "recommended_tag": "、チェックポイント{tag}",
    "recommended_settings": "{reference}と違う設定：{overrides}",
    "recommended_is_reference": "基準の学習そのもの：試したものの中に、これより勧められるものはない",
    "title_missing": "点数のない学習：",
    "title_notes": "注記：",
    # 計画でわかること
    "plan_finds": (
        "{by}で判定すると、基準と1回だけの学習の差は、{now}点あれば5回に4回は判定できる。基準をもう1回学習すると"
        "{base}点、すべてをもう1回ずつなら{all}点（点が付くまでは、やり直しのぶれを標準偏差{sd}点とみなす）"
    ),
    "plan_by_people": "人の採点",
    "plan_by_metric": "指標{metric}",
}
