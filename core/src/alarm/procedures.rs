//! The built-in procedures, one per alarm kind: (title, cause, consequence, steps), each in English and Chinese.

use super::AlarmKind;

type Pair = (&'static str, &'static str);
type Text = (Pair, Pair, Pair, &'static [Pair]);

const LOOK: Pair = ("Look at the camera picture and the clip.", "查看现场画面与录像片段。");
const NOTE: Pair = ("Write down what was found.", "记录现场情况。");
const SEND_GUARD: Pair = ("Send a guard to the place.", "派保安到现场查看。");
const WORK_ORDER: Pair = ("Open a work order if it needs repair.", "需要维修时开立工单。");

/// The text of a kind.
pub(super) fn text(kind: AlarmKind) -> Text {
    match kind {
        AlarmKind::Fire => (
            ("Fire alarm", "火灾报警"),
            ("A fire panel point went into alarm.", "消防主机探测点报警。"),
            ("Danger to life; doors are released and lifts recalled.", "危及生命；门禁已释放，电梯已迫降。"),
            &[
                (
                    "Look at the camera picture; send the nearest guard with a radio.",
                    "查看现场画面，派最近的保安携对讲机前往。",
                ),
                (
                    "If fire or smoke is seen, or nobody can look within 1 minute: call 119.",
                    "发现明火或烟雾，或一分钟内无法确认：拨打119。",
                ),
                (
                    "Check that released doors are confirmed; send someone to those that are not.",
                    "核对门禁释放回执，未确认的门派人手动打开。",
                ),
                ("Start evacuation of the floor and the floors next to it.", "组织着火层及相邻层疏散。"),
                ("Meet the fire brigade at the gate and hand over the plan.", "到大门迎接消防队并移交平面图。"),
                ("Reset the panel only after the place has been inspected.", "现场确认安全后方可复位消防主机。"),
            ],
        ),
        AlarmKind::FirePreAlarm => (
            ("Fire pre-alarm", "火灾预警"),
            ("One detector sees smoke or heat that is not yet confirmed.", "单个探测器检测到烟雾或温升，尚未确认。"),
            ("May become a fire alarm within minutes.", "数分钟内可能升级为火灾报警。"),
            &[
                LOOK,
                SEND_GUARD,
                ("If it is real, press the manual call point.", "确认属实立即按下手动报警按钮。"),
                NOTE,
            ],
        ),
        AlarmKind::FireFault => (
            ("Fire panel fault", "消防主机故障"),
            ("A point of the fire panel is broken or its line is cut.", "消防探测点损坏或线路断开。"),
            ("A fire there would not be reported.", "该处火情将无法上报。"),
            &[
                SEND_GUARD,
                ("Patrol the place every 30 minutes until it is repaired.", "修复前每三十分钟巡查一次。"),
                WORK_ORDER,
            ],
        ),
        AlarmKind::NotReleased => (
            ("Door not released in a fire", "火警时门未释放"),
            ("A door did not confirm its fire release within two seconds.", "门在两秒内未确认消防释放。"),
            ("People may be shut in.", "人员可能被困。"),
            &[
                ("Send someone to open the door by hand now.", "立即派人手动开门。"),
                ("Tell the fire commander which door it is.", "告知现场指挥员具体门位。"),
                WORK_ORDER,
            ],
        ),
        AlarmKind::Smoke => (
            ("Smoke", "烟雾报警"),
            ("A smoke sensor reports smoke.", "烟感探测到烟雾。"),
            ("A fire may be starting.", "可能正在起火。"),
            &[
                LOOK,
                ("Send the nearest guard with an extinguisher.", "派最近的保安携灭火器前往。"),
                (
                    "If there is fire: press the manual call point and call 119.",
                    "发现火情：按下手动报警按钮并拨打119。",
                ),
                NOTE,
            ],
        ),
        AlarmKind::Gas => (
            ("Gas leak", "燃气泄漏"),
            ("A gas sensor is above its limit.", "燃气探测器超限。"),
            ("Danger of explosion.", "有爆炸危险。"),
            &[
                ("Do not switch anything electrical on or off there.", "现场禁止操作任何电器开关。"),
                ("Close the gas valve from outside and open windows.", "从室外关闭燃气阀门并开窗通风。"),
                ("Evacuate the floor and call the gas company and 119.", "疏散该层人员，联系燃气公司并拨打119。"),
            ],
        ),
        AlarmKind::Co => (
            ("Carbon monoxide", "一氧化碳报警"),
            ("Carbon monoxide is above its limit.", "一氧化碳浓度超限。"),
            ("Danger of poisoning within minutes.", "数分钟内有中毒危险。"),
            &[
                ("Start the ventilation.", "启动通风。"),
                ("Get people out; nobody goes in alone.", "撤离人员，禁止单人进入。"),
                ("Call 120 for anyone who feels unwell.", "有人不适立即拨打120。"),
            ],
        ),
        AlarmKind::Duress => (
            ("Duress", "胁迫报警"),
            ("Someone opened a door under threat.", "有人在胁迫下开门。"),
            ("A person is in danger; the attacker must not notice.", "人员处于危险中，不可惊动嫌疑人。"),
            &[
                ("Do not call the person and do not sound anything.", "不要联系当事人，不要鸣响。"),
                ("Watch on camera and call 110.", "通过监控观察并拨打110。"),
                ("Keep guards at a distance until the police arrive.", "警方到达前保安保持距离。"),
            ],
        ),
        AlarmKind::HelpCall => (
            ("Call for help", "求助呼叫"),
            ("Someone pressed a help button.", "有人按下求助按钮。"),
            ("A person may be hurt or afraid.", "可能有人受伤或遇险。"),
            &[
                ("Answer by intercom.", "通过对讲应答。"),
                LOOK,
                SEND_GUARD,
                ("Call 120 or 110 as needed.", "视情况拨打120或110。"),
            ],
        ),
        AlarmKind::Intrusion => (
            ("Perimeter breached", "周界入侵"),
            ("A beam of an armed zone was broken.", "布防区域光束被遮断。"),
            ("Someone may be inside the compound.", "可能有人进入园区。"),
            &[
                LOOK,
                ("Send two guards, one from each side.", "派两名保安从两侧包抄查看。"),
                ("If a person is seen: follow on camera, call 110.", "发现人员：持续监控跟踪并拨打110。"),
                NOTE,
            ],
        ),
        AlarmKind::LiftTrapped => (
            ("People shut in a lift", "电梯困人"),
            ("The lift stopped with people inside.", "电梯停运且轿厢内有人。"),
            ("Panic, injury if they try to get out themselves.", "可能引发恐慌，自行脱困易受伤。"),
            &[
                ("Speak to them by intercom: stay calm, do not force the doors.", "通过对讲安抚乘客，勿强行扒门。"),
                ("Call the lift company; note the time.", "联系电梯维保单位并记录时间。"),
                ("Send a guard to the landing and stay in contact.", "派保安到层站并保持联系。"),
                (
                    "If someone is unwell or help takes longer than 30 minutes: call 119.",
                    "有人不适或三十分钟内无法救援：拨打119。",
                ),
            ],
        ),
        AlarmKind::LiftFault => (
            ("Lift out of order", "电梯故障"),
            ("The lift's controller reports a fault.", "电梯控制系统报告故障。"),
            ("The lift does not run.", "电梯停运。"),
            &[LOOK, ("Put up the notice and lock the landing doors.", "张贴停用告示并封闭层门。"), WORK_ORDER],
        ),
        AlarmKind::DoorForced => (
            ("Door forced", "强行开门"),
            ("A door opened without a grant.", "门在未授权情况下被打开。"),
            ("Someone may have entered.", "可能有人闯入。"),
            &[LOOK, SEND_GUARD, ("Check the lock and the door contact.", "检查门锁与门磁。"), NOTE],
        ),
        AlarmKind::DoorHeld => (
            ("Door held open", "门超时未关"),
            ("A door has been open for longer than allowed.", "门打开时间超过允许值。"),
            ("Anyone can walk in.", "任何人可随意进入。"),
            &[LOOK, ("Ask by intercom to close it, else send a guard.", "对讲提醒关门，否则派保安处理。"), NOTE],
        ),
        AlarmKind::Tamper => (
            ("Tampering", "设备防拆报警"),
            ("A cover was opened or a line cut.", "设备外壳被打开或线路被剪断。"),
            ("The device can no longer be trusted.", "设备已不可信。"),
            &[
                LOOK,
                SEND_GUARD,
                ("Have an engineer inspect it before it is used again.", "重新使用前由工程师检查。"),
                WORK_ORDER,
            ],
        ),
        AlarmKind::BoomHit => (
            ("Barrier hit", "道闸被撞"),
            ("A vehicle hit the boom.", "车辆撞到道闸杆。"),
            ("The lane is open or blocked.", "车道敞开或被堵。"),
            &[LOOK, ("Keep the clip and the plate for the insurer.", "保存录像片段与车牌供理赔。"), WORK_ORDER],
        ),
        AlarmKind::Leak => (
            ("Water leak", "漏水报警"),
            ("A leak sensor is wet.", "水浸传感器报警。"),
            ("Damage to the building and its electrics.", "损坏建筑及电气设备。"),
            &[
                ("Send someone to find the source.", "派人查找漏水点。"),
                ("Close the valve of that riser.", "关闭该立管阀门。"),
                ("Switch off power where water reaches electrics.", "水及电气处立即断电。"),
                WORK_ORDER,
            ],
        ),
        AlarmKind::Motion => (
            ("Motion", "移动侦测"),
            ("Motion where and when none should be.", "非正常时段出现移动。"),
            ("Someone may be where they should not be.", "可能有人进入不应进入的区域。"),
            &[LOOK, SEND_GUARD],
        ),
        AlarmKind::Limit => (
            ("Value beyond its limit", "测量值超限"),
            ("A measured value crossed the limit of its profile.", "测量值超过设定限值。"),
            ("Equipment may be damaged if it goes on.", "持续超限可能损坏设备。"),
            &[
                ("Compare with neighbouring sensors and its history.", "与相邻传感器及历史曲线对比。"),
                SEND_GUARD,
                WORK_ORDER,
            ],
        ),
        AlarmKind::SensorActive => (
            ("Sensor active", "传感器触发"),
            ("A sensor reports its active state.", "传感器上报触发状态。"),
            ("Depends on the sensor.", "视传感器类型而定。"),
            &[LOOK, SEND_GUARD],
        ),
        AlarmKind::DeviceOffline => (
            ("Device offline", "设备离线"),
            ("Its link broke or it fell silent.", "设备链路中断或无数据上报。"),
            ("What happens there is not reported.", "该处情况无法上报。"),
            &[
                (
                    "Check whether its neighbours are offline too: then it is the switch or the power.",
                    "检查相邻设备是否同时离线，若是则为交换机或供电问题。",
                ),
                ("Patrol the place until it is back.", "恢复前加强巡查。"),
                WORK_ORDER,
            ],
        ),
        AlarmKind::DeviceFlapping => (
            ("Device comes and goes", "设备反复掉线"),
            ("A loose plug, a weak radio link or a failing power supply.", "接头松动、无线信号弱或供电不稳。"),
            ("Parts of what happens there are missed.", "该处部分情况会漏报。"),
            &[
                ("Check its power and its cable or radio link.", "检查供电、网线或无线信号。"),
                ("Treat it as offline until it is stable.", "恢复稳定前按离线处理。"),
                WORK_ORDER,
            ],
        ),
        AlarmKind::GatewayLost => (
            ("Gateway lost", "网关失联"),
            ("The gateway lost its power or its network.", "网关断电或网络中断。"),
            ("Nothing is reported by any device behind it.", "其下所有设备均无法上报。"),
            &[
                ("Check the gateway's power and network.", "检查网关供电与网络。"),
                (
                    "Patrol the places of the devices behind it until it is back.",
                    "恢复前加强对其下设备所在区域的巡查。",
                ),
                WORK_ORDER,
            ],
        ),
        AlarmKind::StreamStalled => (
            ("Camera picture lost", "摄像机画面丢失"),
            ("The camera's stream stopped, was refused or cannot be decoded.", "视频流中断、被拒绝或无法解码。"),
            ("Nothing there is seen or recorded.", "该处无法监看与录像。"),
            &[
                (
                    "Read the reason on the health page: stalled, refused, unauthorised, undecodable.",
                    "在系统状态页查看原因：中断、拒绝、未授权、无法解码。",
                ),
                ("Use the neighbouring camera.", "使用相邻摄像机监看。"),
                WORK_ORDER,
            ],
        ),
        AlarmKind::DeviceFault => (
            ("Device fault", "设备故障"),
            ("The device reports that it does not work.", "设备上报自身故障。"),
            ("It cannot be relied on.", "设备不可依赖。"),
            &[LOOK, WORK_ORDER],
        ),
        AlarmKind::CommandFailed => (
            ("Command not carried out", "指令未执行"),
            ("A device refused or did not answer a command.", "设备拒绝执行或未应答指令。"),
            ("The door, barrier or lift is not where you think it is.", "门、道闸或电梯状态与预期不符。"),
            &[LOOK, ("Try once more; then send someone.", "重试一次，仍失败则派人处理。"), WORK_ORDER],
        ),
        AlarmKind::AccessRepeatedlyDenied => (
            ("Access denied repeatedly", "多次刷卡被拒"),
            ("Five refusals at one door within a minute.", "一分钟内同一门点五次被拒。"),
            ("Someone may be trying cards.", "可能有人尝试冒用门卡。"),
            &[LOOK, ("Speak to the person by intercom.", "通过对讲询问对方身份。"), SEND_GUARD],
        ),
        AlarmKind::UnknownPlate => (
            ("Unknown car at the gate", "陌生车辆等候"),
            ("The plate is not known or not allowed now.", "车牌未登记或当前不在允许时段。"),
            ("The car blocks the lane.", "车辆堵塞车道。"),
            &[
                ("Compare the picture with the plate that was read.", "对照抓拍图核对识别车牌。"),
                ("Ask the driver whom they visit and confirm by phone.", "询问司机拜访对象并电话确认。"),
                ("Open or refuse on the passage.", "在通行记录上选择放行或拒绝。"),
            ],
        ),
        AlarmKind::WatchedPlate => (
            ("Watched vehicle", "关注车辆"),
            (
                "A plate of a watch list was read, or one that differs by a character readers confuse.",
                "识别到名单中的车牌，或与其仅差一个易混字符的车牌。",
            ),
            (
                "What the list is for: see its note. A near match may be another vehicle.",
                "按名单备注处理。相近匹配可能是另一辆车。",
            ),
            &[
                ("Compare the picture with the plate that is listed.", "将画面与名单中的车牌核对。"),
                ("Follow the note of the entry.", "按该条目的备注处置。"),
                ("A wrong read: correct it at the passage.", "识别有误时，在通行记录中更正。"),
                NOTE,
            ],
        ),
        AlarmKind::CameraView => (
            ("Camera view unusable", "摄像机画面异常"),
            (
                "The picture is dark, covered, out of focus, or the camera was moved.",
                "画面全黑、被遮挡、失焦，或摄像机被移动。",
            ),
            ("What happens there is neither seen nor recognised.", "该处情况无法看清，也无法识别。"),
            &[
                (
                    "Look at the live picture and at the recording of the moment it changed.",
                    "查看实时画面及变化时刻的录像。",
                ),
                (
                    "Covered or moved by someone: treat it as tampering, send a guard.",
                    "若系人为遮挡或移动，按破坏处理，派保安前往。",
                ),
                (
                    "Moved on purpose: the new view is accepted by itself after ten minutes.",
                    "有意调整的，十分钟后自动以新画面为准。",
                ),
                WORK_ORDER,
            ],
        ),
        AlarmKind::FaceCandidate => (
            ("Face resembles someone", "疑似人脸"),
            (
                "A face at a door resembles someone known, not enough to open.",
                "门口人脸与登记人员相似，但未达开门标准。",
            ),
            ("Someone may wait in front of the door.", "可能有人在门口等候。"),
            &[LOOK, ("Speak to the person by intercom.", "通过对讲询问对方身份。")],
        ),
        AlarmKind::ActorQuarantined => (
            ("Part of the system stopped", "系统模块已停用"),
            ("A part of the program failed again and again and is left stopped.", "程序模块反复故障，已停用。"),
            ("The device or function it runs is not served.", "对应设备或功能无法工作。"),
            &[
                ("Read its last error on the health page.", "在系统状态页查看最后错误。"),
                (
                    "An engineer starts it again there; if it stops again, tell the maker.",
                    "由工程师在该页重新启动；若再次停用，通知厂商。",
                ),
            ],
        ),
        AlarmKind::Rule => (
            ("Rule of the site", "自定义规则报警"),
            ("A rule that was written at this site came true.", "本园区自定义的规则条件成立。"),
            ("See the title: whoever wrote the rule wanted to know.", "参见报警标题：规则编写者要求知晓此情况。"),
            &[
                ("Read the title and look at the device.", "阅读报警标题并查看相关设备。"),
                LOOK,
                ("If it raises without need, tell an engineer to mend the rule.", "如属误报，通知工程师修改规则。"),
            ],
        ),
        AlarmKind::RuleStopped => (
            ("Rule stopped", "规则已停用"),
            (
                "A rule cost too much, raised too often, or names a device that is gone.",
                "规则开销过大、报警过于频繁，或引用了已不存在的设备。",
            ),
            (
                "What the rule watches is not watched; other rules go on.",
                "该规则监视的情况不再受监视，其他规则照常运行。",
            ),
            &[
                ("Read the reason on the Rules page.", "在规则页面查看停用原因。"),
                ("Mend the rule and save it: it starts again.", "修改并保存规则，规则将重新运行。"),
            ],
        ),
        AlarmKind::DiskFull => (
            ("Disk nearly full", "磁盘空间不足"),
            ("Recordings or data fill the disk.", "录像或数据占满磁盘。"),
            (
                "Recording stops, then the history of readings; alarms and doors go on.",
                "录像将停止，随后停止保存测量历史；报警与门禁不受影响。",
            ),
            &[
                ("Shorten the retention or free space.", "缩短保存期限或清理空间。"),
                ("Check which camera records more than usual.", "检查录像量异常的摄像机。"),
            ],
        ),
        AlarmKind::StoreAway => (
            ("Database away", "数据库不可用"),
            ("The database cannot be reached or refuses to write.", "数据库无法连接或拒绝写入。"),
            (
                "Doors and alarms go on; records wait on the local disk and are stored when it is back.",
                "门禁与报警继续工作，记录暂存本地磁盘，恢复后自动入库。",
            ),
            &[
                ("Check the disk and the database's log.", "检查磁盘与数据库日志。"),
                (
                    "Watch the spill on the health page: when it is full, devices must keep what they say.",
                    "在系统状态页查看暂存量：存满后数据须由设备自行保留。",
                ),
                (
                    "If entries were refused: keep the file refused.journal for the maker, then remove it.",
                    "若有被拒绝的记录：保留 refused.journal 文件交厂商分析后移除。",
                ),
            ],
        ),
        AlarmKind::ClockJump => (
            ("Clock moved", "系统时钟跳变"),
            ("The machine's clock was set, or lost its time source.", "系统时钟被修改，或失去时间同步源。"),
            (
                "Times on events, recordings and access records before and after do not compare; their order is kept.",
                "跳变前后的事件、录像与出入记录时间不可直接比较，先后顺序不受影响。",
            ),
            &[
                ("Check the time service (NTP) of the machine.", "检查服务器的时间同步服务（NTP）。"),
                ("Compare the console's time with a clock you trust.", "将控制台时间与可信时钟核对。"),
                NOTE,
            ],
        ),
        AlarmKind::DeliveryFailed => (
            ("Notices not delivered", "通知未送达"),
            (
                "A target was not reached for three days, or answered that it wants no more notices.",
                "目标系统连续三天无法送达，或已回复不再接收通知。",
            ),
            ("The integrator's system does not know of these alarms.", "对接系统不知道这些报警。"),
            &[
                (
                    "Read the reason on the Integrations page and call whoever runs the target.",
                    "在集成页查看失败原因，联系目标系统的负责人。",
                ),
                (
                    "Enable the target if it is disabled, send a test, then send the failed notices again.",
                    "如目标已停用请启用，发送测试，然后重新发送失败的通知。",
                ),
            ],
        ),
        AlarmKind::RecordingFailed => (
            ("Recording failed", "录像失败"),
            ("A recording cannot be written.", "录像无法写入。"),
            ("There will be no evidence.", "将没有录像证据。"),
            &[
                ("Check the disk.", "检查磁盘。"),
                ("Check that the camera is live.", "检查摄像机是否在线。"),
                WORK_ORDER,
            ],
        ),
        AlarmKind::BackupFailed => (
            ("Backup failed", "备份失败"),
            ("A backup that was due could not be taken.", "到期的备份未能完成。"),
            ("After a loss, all since the last good backup is gone.", "一旦数据丢失，只能恢复到上次成功的备份。"),
            &[
                ("Read the reason on the health page.", "在系统状态页查看失败原因。"),
                ("Make room on the backup's disk, or mount it again.", "清理备份磁盘空间或重新挂载该磁盘。"),
                ("Press Back up now and wait for its end.", "点击“立即备份”并等待完成。"),
            ],
        ),
        AlarmKind::MemoryHigh => (
            ("Memory nearly used up", "内存占用过高"),
            ("The program needs more than four fifths of its memory budget.", "程序占用内存已超过预算的五分之四。"),
            ("The machine may end it, and everything restarts.", "系统可能强制结束程序，导致全部重启。"),
            &[
                ("See on the health page which queue grows.", "在系统状态页查看哪个队列在增长。"),
                ("Find the device or camera that sends more than usual.", "找出数据量异常的设备或摄像机。"),
                ("If nothing is wrong, raise limits.memory_mb.", "如一切正常，调高 limits.memory_mb。"),
            ],
        ),
    }
}
