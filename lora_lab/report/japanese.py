"""The report's Japanese."""

TEXTS = {
    # 冒頭
    "title": "{sweep}：設定ごとの効果",
    "no_question": "それぞれの設定は何を変えるのか",
    "byline": "学習{runs}件、チェックポイント{checkpoints}個、教師画像{images}枚",
    "byline_elsewhere": "ほかで学習したLoRA{n}個",
    "period": "学習期間：{start}〜{end}",
    "one_day": "学習日：{start}",
    "by_people": "{raters}による100点満点の採点、計{judgements}回",
    "by_metric": (
        "まだ誰も採点していません。以下の数値はすべて自動指標「{metric}」で、人の見た目の印象と一致すると"
        "は限りません。"
    ),
    "by_nobody": (
        "まだ誰も採点しておらず、点数の代わりになる自動指標もありません。このレポートは画像だけを示します"
        "。採点は `lora-lab review` でできます。"
    ),
    "contents": "目次",
    # 結論
    "answer": "結論",
    "answer_best": "いまのところ最良は{run}で、{score}点（{checkpoint}）。",
    "answer_rivals": "ただし、この点数では{rivals}との差は判別できません。",
    "answer_many_rivals": "ただし、この点数ではほかの{n}件との差は判別できません。",
    "answer_none": "採点された学習がないため、おすすめはまだ出せません。",
    "effects_title": "各設定の効果",
    "setting": "設定",
    "finding": "判定",
    "supports": "根拠",
    "interval": "{low}〜{high}",
    "pairs": "比較{n}組",
    "pair": "比較1組",
    "more_runs": "あと{n}件ほど学習すれば判定できる見込み",
    "no_larger": "差があっても{value}点未満",
    "holds": "同じ設定で学習し直したときの点数のぶれ（標準偏差）が{value}点未満なら成り立つ",
    # 共通の設定
    "fixed": "共通の設定",
    "fixed_text": "どの学習もこの設定で行いました。それぞれの違いは次の表にあります。",
    "all_fixed": "共通だった設定{n}項目をすべて見る",
    "material": "学習の対象",
    "material_text": "教師画像の一部と、LoRAなしのベースモデルが同じプロンプトから生成した画像です。",
    "training_image": "教師画像{n}",
    "bare": "ベースモデル（LoRAなし）",
    # パターン
    "patterns": "学習の一覧",
    "patterns_text": "「{reference}」を基準として、ほかと比べています。",
    "run": "学習",
    "changes": "{reference}との違い",
    "changes_none": "基準",
    "seed_only": "シードのみ",
    "status": "状態",
    "epochs": "エポック数",
    "minutes": "分",
    "image": "画像",
    "same_as": "{run}と同じ実験（{reason}）",
    "same_as_plain": "{run}と同じ実験",
    "raters_of": "採点者{n}人",
    "mean_of": "シード{n}個の平均{mean}",
    "status_planned": "未着手",
    "status_running": "学習中",
    "status_done": "完了",
    "status_diverged": "発散",
    "status_failed": "失敗",
    "status_cancelled": "中断",
    "status_stopped": "停止",
    # 設定ごと
    "settings": "設定ごとの比較",
    "settings_text": (
        "1つの設定だけが違う学習どうしを並べています。同じ行の画像は、プロンプトもシードも同じです。"
    ),
    "with": "{settings}の場合",
    "with_reference": "ほかは{reference}と同じ",
    "as_reference": "（ほかは基準と同じ場合）",
    "prompt_row": "「{text}」、シード{seed}、LoRAの強さ{strength}",
    "no_image": "画像なし",
    "no_score": "未採点",
    "no_pairs": "この設定だけが違う学習の組がないため、効果はわかりません。",
    "together": "いつも一緒に変えたため区別できない設定：{settings}。",
    "difference": "差",
    "range": "95%区間",
    "compared": "比較",
    "call": "判定",
    "unmeasured": "未測定",
    # 組み合わせ
    "interactions": "互いに影響し合う設定",
    "interaction": "{one} {change}：{other}が{low}のとき{without}点、{high}のとき{with_}点。",
    # 長さ
    "length": "どこまで学習するか",
    "length_text": "チェックポイントごとの点数です。丸は各学習の最良を示します。",
    "course_over-trained": "最後は学習しすぎ（過学習）",
    "course_still rising": "最後まで上昇中。もっと長く学習する価値がある",
    "course_flat": "はっきりした変化なし",
    "course_settled": "最後には頭打ち",
    "course_best": "最良",
    "course": "推移",
    # 失敗
    "failures": "うまくいかなかった学習",
    "failures_none": "どの学習も、絵として見られる画像が得られました。",
    "failures_open": "まだ終わっていないもの：{n}件。",
    "reason": "理由",
    # コスト
    "cost": "コスト",
    "cost_text": "まとめて学習したものは時間とメモリーを共有します。分数はその取り分です。",
    "cost_total": "学習時間は合計{minutes}分。",
    "loss": "損失（loss）",
    "loss_text": "損失からわかるのは学習が進んでいるかどうかだけで、どのLoRAの絵が良いかはわかりません。",
    # おすすめ
    "recommended": "おすすめの設定",
    "recommended_text": "{run}の{checkpoint}、{score}点。",
    "recommended_differs": "{reference}との違い：{overrides}。",
    "recommended_reference": "基準の設定そのものです。",
    "recommended_cheaper": (
        "最高点は{best}ですが、{run}のほうがコストが低く、この点数では両者の差は判別できません。"
    ),
    "recommended_for": "この設定を支持する結果：",
    "reason_for": "{title}：{change}（{difference}、{finding}）",
    "recommended_rivals": "この点数では差を判別できないもの：{rivals}。",
    "recommended_command": "コマンドで使う：",
    "recommended_yaml": "スイープファイルで使う：",
    "recommended_file": "LoRAのファイル：{file}。{command} でモデルカードを付けて書き出せます。",
    "whole_config": "この学習の設定をすべて見る",
    # 採点方法
    "judged": "採点の方法",
    "judged_blind": "採点は{n}回のブラインド形式で行いました。設定・名前・順番は隠されています。",
    "judged_entered": (
        "ギャラリーを使わずに入力された点数が{n}件あります。ブラインドだったかどうかは不明です。"
    ),
    "rater": "採点者",
    "judgements": "採点数",
    "level": "甘さ",
    "spread": "散らばり",
    "repeats": "再提示",
    "repeat_sd": "ぶれ",
    "drift": "10枚あたりの変化",
    "judged_raters": (
        "「甘さ」はほかの採点者より何点高く付けるか、「散らばり」は付けた点数の標準偏差です。一部の画像は"
        "気づかれないように2度見せています。「ぶれ」は1回の採点の標準偏差、「変化」は採点を続けるうちに点"
        "数がどれだけ上がるかを示します。"
    ),
    "relevant": "{value}点未満の差は問題にしていません。調べた設定と組み合わせは{n}件です。",
    "rule_last": "各学習は最後のチェックポイントで評価しました。",
    "rule_best": (
        "各学習は最良のチェックポイントで評価しました。チェックポイントの多い学習ほど有利になります。"
    ),
    "rule_tag": "各学習はチェックポイント{tag}で評価しました。",
    "agreement": "採点と一致する自動指標",
    "agreement_text": "学習ごとの順位相関です。1は同じ順、0は無関係、−1は逆順を表します。",
    "metric": "指標",
    "correlation": "相関",
    "notes": "判定についての注記",
    # バージョン
    "versions": "バージョン",
    "versions_text": "学習環境：{devices}、",
    "made_with": "lora_lab {version}で作成。元のファイル：{folder}。",
    "plot_alt": "図：{text}",
    "fig_setting": (
        "{setting}と{criterion}。塗りつぶしは、この設定だけが違う学習どうし（線で結ぶ）。白抜きは、ほかの"
        "設定も違うもの。帯は、シードだけが違う学習の範囲。"
    ),
    "fig_interaction": "{one}と{criterion}。線は{other}の値ごと。ほかの設定はすべて同じ。",
    "fig_epochs": "エポック数と{criterion}。",
    "fig_cost": "コストと{criterion}。オレンジの点には、より安くて同等のものがない。",
    "fig_timings": "学習ごとの時間の内訳。",
    "fig_loss": "学習したサンプル数と損失。太線は全体の1/20の移動平均、薄い線は1ステップごと。",
}
