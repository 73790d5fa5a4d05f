// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the literals of template injections
/**
 * Literals that mean something by themselves, with class and weight. Weights of different signals of one
 * class add up as independent evidence. Compiled from the manuals of the systems they name.
 *
 * Format of a line: weight, flags, literals separated by ` ~ `.
 * Flags: `<` no word character in front; `>` none behind; `(` a call: an opening parenthesis follows, white
 * space allowed; `p` counts for more when the value has no spaces (a path or a name rather than prose).
 */
import type { AttackClass } from './types.ts'

export const SIGNAL_LINES: Readonly<Partial<Record<AttackClass, readonly string[]>>> = {
  lfi: [
    '72 p /passwd ~ /shadow ~ var/lib/ ~ error.log ~ access.log ~ error_log ~ access_log ~ \\logs\\',
    '76 p /.env ~ ../.env ~ /.git/ ~ /.svn/',
    '88 p etc/passwd ~ etc/shadow ~ etc\\passwd ~ etc\\shadow ~ etc/master.passwd ~ etc/security/passwd ~ etc/sudoers ~ /etc/gshadow',
    '70 p /etc/hosts ~ /etc/group ~ /etc/issue ~ /etc/motd ~ /etc/fstab ~ /etc/crontab ~ /etc/resolv.conf ~ /etc/hostname ~ /etc/profile ~ /etc/bashrc ~ /etc/os-release ~ /etc/redhat-release ~ /etc/lsb-release ~ /etc/inetd.conf ~ /etc/services ~ /etc/exports ~ /etc/networks ~ /etc/network/interfaces',
    '76 p /etc/mysql/ ~ /etc/my.cnf ~ /etc/apache ~ /etc/httpd/ ~ /etc/nginx/ ~ /etc/php ~ /etc/ssh/ ~ /etc/ssl/ ~ /etc/init.d ~ /etc/pam ~ /etc/samba/ ~ /etc/vsftpd ~ /etc/proftpd ~ /etc/ftpusers ~ /etc/rc.',
    '88 p proc/self/ ~ proc/version ~ proc/cmdline ~ proc/mounts ~ proc/net/ ~ proc/1/ ~ proc/cpuinfo ~ proc/meminfo ~ proc/sched_debug',
    '72 p var/log/ ~ var/www/ ~ var/lib/mysql ~ usr/local/apache ~ usr/local/etc/ ~ var/mail/ ~ var/spool/ ~ var/run/secrets ~ opt/lampp ~ usr/local/nginx ~ apache/logs/ ~ logs/access.log ~ logs/access_log ~ logs/error_log ~ logs/error.log ~ xampp/ ~ home/mysql ~ var/adm/ ~ var/apache',
    '88 boot.ini ~ windows/win.ini ~ windows\\win.ini ~ winnt/win.ini ~ winnt\\win.ini ~ windows/system.ini ~ windows\\system.ini ~ system32/drivers/etc ~ system32\\drivers\\etc ~ system32/config ~ system32\\config ~ windows/repair ~ windows\\repair ~ windows/panther ~ windows\\panther ~ unattend.xml ~ sysprep.inf ~ inetpub/wwwroot ~ inetpub\\wwwroot ~ inetpub/logs ~ inetpub\\logs ~ windows/debug/netsetup ~ pagefile.sys ~ windows/iis ~ php/php.ini ~ php\\php.ini ~ windows/php.ini ~ windows\\system32 ~ windows/system32',
    '70 p win.ini ~ php.ini ~ my.ini ~ httpd.conf ~ nginx.conf ~ sshd_config ~ my.cnf',
    '84 p .htaccess ~ .htpasswd ~ web.config ~ wp-config ~ web-inf/ ~ web-inf\\ ~ meta-inf/ ~ .git/config ~ .git/head ~ .git/index ~ .svn/entries ~ .svn/wc.db ~ .hg/store ~ .ssh/id_ ~ .ssh/authorized_keys ~ .aws/credentials ~ .bash_history ~ .mysql_history ~ .bashrc ~ .ds_store ~ .npmrc ~ .docker/config ~ .kube/config ~ id_rsa ~ appsettings.json ~ config/database.yml ~ config/secrets.yml ~ configuration.php ~ localsettings.php ~ sftp-config.json ~ docker-compose.yml ~ composer.lock',
    '90 php://filter ~ php://input ~ php://fd ~ php://memory ~ php://temp ~ php://output ~ phar:// ~ expect:// ~ zip:// ~ glob:// ~ compress.zlib:// ~ compress.bzip2:// ~ ogg:// ~ rar:// ~ ssh2:// ~ convert.base64-encode ~ convert.iconv. ~ string.rot13',
    '88 < data://text ~ data:;base64 ~ data:text/plain;base64 ~ file:// ~ netdoc:// ~ jar:file: ~ local_file:// ~ file:/etc ~ file:/proc ~ file:c:',
    '62 p c:\\ ~ c:/windows ~ c:/winnt ~ c:/boot ~ c:/inetpub ~ d:\\ ~ \\\\?\\ ~ \\\\.\\',
    '60 p /root/ ~ .git/ ~ .svn/ ~ /cgi-bin/',
  ],
  rce: [
    "90 cmd|' ~ =cmd| ~ geturlcontent(",
    '84 <p chmod 777 ~ chmod +x ~ python -c ~ python3 -c ~ perl -e ~ php -r ~ ruby -e ~ node -e ~ lua -e ~ lynx -source ~ wget http ~ wget -q ~ curl http ~ curl -s ~ curl -o ~ curl -k ~ ping -c ~ ping -n ~ tftp -i ~ ipconfig /all ~ ls -la ~ ls -al ~ cat /etc ~ uname -a ~ rm -rf ~ rm -fr ~ cat /proc ~ ls -l',
    '82 <>p whoami',
    '88 > | bash ~ |bash ~ | sh ~ |sh',
    '92 <> bash -i ~ sh -i ~ nc -e ~ bash -c ~ sh -c ~ net user ~ net localgroup',
    '97 () { : ~ () { _ ~ (){ : ~ () {: ~ (){:;',
    '92 /dev/tcp/ ~ /dev/udp/ ~ ${ifs} ~ $ifs$ ~ {ifs} ~ >& /dev/ ~ nc.exe -e ~ nc.traditional ~ ncat -e ~ mkfifo /tmp ~ rm -rf / ~ rm -fr / ~ certutil -urlcache ~ certutil.exe ~ powershell -e ~ powershell.exe ~ pwsh -c ~ -encodedcommand ~ -executionpolicy ~ bitsadmin /transfer ~ wmic process ~ regsvr32 /s ~ mshta http ~ rundll32.exe ~ xp_cmdshell',
    '88 $ifs ~ cmd.exe ~ cmd /c ~ command.com ~ %comspec% ~ %systemroot% ~ %programfiles% ~ invoke-expression ~ invoke-webrequest ~ downloadstring ~ downloadfile( ~ new-object net.webclient ~ new-object system.net ~ start-process ~ get-wmiobject ~ base64 -d ~ base64 --decode ~ kill -9 -1 ~ taskkill /f ~ /bin/netcat ~ -oe /bin',
    '82 p /bin/sh ~ /bin/bash ~ /bin/cat ~ /bin/ls ~ /bin/id ~ /bin/ps ~ /bin/zsh ~ /bin/ksh ~ /bin/csh ~ /bin/dash ~ /bin/nc ~ /bin/echo ~ /bin/ping ~ /bin/uname ~ /bin/chmod ~ /bin/rm ~ /usr/bin/id ~ /usr/bin/wget ~ /usr/bin/curl ~ /usr/bin/perl ~ /usr/bin/python ~ /usr/bin/nc ~ /usr/bin/env ~ /usr/bin/whoami ~ /bin/touch ~ /bin/sleep ~ /sbin/ifconfig ~ /usr/local/bin/',
    '70 ipconfig ~ ifconfig ~ systeminfo ~ tasklist ~ nslookup ~ netstat - ~ wscript.shell ~ cscript ~ ld_preload ~ bash_env ~ prompt_command ~ /dev/null ~ 2>&1 ~ /tmp/ ~ iex( ~ iex ( ~ xcopy ~ icacls ~ schtasks ~ reg query ~ reg add',
    '88 /???/ ~ /??n/ ~ /b?n/ ~ /bi?/ ~ /b*n/ ~ /etc/pass?d ~ /e*c/ ~ /et?/ ~ /?tc/ ~ /etc/p*',
    '90 $@ ; ~ c\\at ~ c"a"t ~ c\'a\'t ~ w\\hoami ~ who$@ami ~ wh$@oami ~ who^ami',
  ],
  code: [
    '88 {%print ~ {% print ~ {{print',
    '70 <(p var_dump ~ print_r ~ fopen ~ scandir ~ symlink ~ include_once ~ require_once',
    '95 ${{<%',
    '90 ${@ ~ print(md5( ~ die(md5( ~ echo(md5( ~ echo md5( ~ print md5( ~ die(print(',
    '70 <( getenv ~ include ~ require ~ die ~ dl ~ md5 ~ print',
    '70 p process.env ~ process.exit ~ process.cwd ~ process.stdout ~ os.environ ~ yaml.load( ~ java.io.file ~ java.net.url ~ file.read( ~ file.open( ~ io.read ~ getclass() ~ require(\'fs ~ require("fs ~ require(\'os ~ require("os ~ require(\'net ~ require("net ~ require(\'http ~ require("http ~ constructor.prototype',
    '93 <?php ~ <?= ~ <? echo ~ <?system ~ phpinfo( ~ shell_exec( ~ passthru( ~ proc_open( ~ pcntl_exec( ~ create_function( ~ call_user_func ~ register_shutdown_function ~ allow_url_include ~ auto_prepend_file ~ $_get[ ~ $_post[ ~ $_request[ ~ $_cookie[ ~ $_server[ ~ $_files[ ~ $globals[ ~ <script language="php" ~ __halt_compiler ~ {php} ~ {/php} ~ preg_replace("/ ~ preg_replace(\'/ ~ .chr( ~ gzinflate( ~ str_rot13( ~ assert(',
    '84 <( system ~ popen ~ exec ~ eval ~ base64_decode ~ file_get_contents ~ file_put_contents ~ readfile ~ show_source ~ highlight_file ~ putenv ~ ini_set ~ ini_get ~ fwrite ~ fputs ~ move_uploaded_file ~ phpversion ~ php_uname ~ get_defined_vars ~ array_map ~ usort ~ mb_send_mail ~ parse_ini_file ~ execfile ~ __import__ ~ importlib.import_module ~ execsync ~ spawnsync ~ settimeout(atob ~ evalscript',
    '94 java.lang.runtime ~ java.lang.processbuilder ~ java.lang.system ~ java.lang.class ~ java.lang.thread ~ java.util.scanner ~ java.io.bufferedreader ~ java.io.inputstream ~ getruntime() ~ .getruntime ~ processbuilder( ~ new processbuilder ~ processimpl ~ t(java. ~ t( java. ~ @java. ~ #_memberaccess ~ #context[ ~ ognl.ognl ~ com.opensymphony ~ xwork. ~ class.module.classloader ~ class.classloader ~ javax.script ~ scriptenginemanager ~ freemarker.template ~ ?new() ~ ?new( ~ .class.forname ~ class.forname( ~ .classloader ~ urlclassloader ~ javax.naming ~ com.sun.rowset ~ org.springframework.context ~ org.apache.commons.collections ~ org.apache.commons.io ~ jdbcrowsetimpl ~ templatesimpl ~ bsh.interpreter ~ groovy.lang ~ jndi:ldap ~ jndi:rmi ~ jndi:dns ~ groovyshell ~ @asttest',
    '95 ${jndi: ~ ${${ ~ ${lower: ~ ${upper: ~ ${env: ~ ${sys: ~ ${::- ~ ${java: ~ ${ctx: ~ ${date: ~ ${script: ~ ${url: ~ ${dns: ~ ${main: ~ ${base64: ~ ${hostname} ~ %{( ~ %{# ~ ${# ~ ${( # ~ #{t( ~ ${t( ~ *{t( ~ %24%7bjndi',
    '93 child_process ~ process.mainmodule ~ process.binding ~ process.kill ~ global.process ~ globalthis.process ~ constructor.constructor ~ constructor("return ~ constructor(\'return ~ constructor(\'alert ~ constructor("alert ~ require("child ~ require(\'child ~ require(\'vm ~ require("vm ~ readfilesync( ~ writefilesync( ~ readdirsync( ~ this.constructor ~ _$$nd_func$$_ ~ function("return ~ function(\'return ~ new function( ~ import(\'child ~ import("child ~ process[\' ~ process[" ~ arguments[1].end( ~ root.process',
    '84 p __proto__ ~ constructor[prototype] ~ [constructor][ ~ "constructor":{"prototype ~ prototype.polluted ~ constructor%5b',
    '94 __class__ ~ __mro__ ~ __subclasses__ ~ __globals__ ~ __builtins__ ~ __import__( ~ __base__ ~ __bases__ ~ __init__. ~ __getattribute__ ~ __reduce__ ~ __dict__ ~ os.system( ~ os.popen( ~ os.execl ~ os.spawn ~ subprocess.popen ~ subprocess.call ~ subprocess.run ~ subprocess.check ~ builtins.eval ~ sys.modules ~ func_globals ~ im_func ~ commands.getoutput ~ pty.spawn ~ platform.system( ~ eval(compile( ~ cos system ~ c__builtin__ ~ cposix ~ !!python/ ~ !!javax. ~ !!org. ~ !!com. ~ !!java. ~ !ruby/object ~ !ruby/hash ~ !!js/function ~ |attr( ~ ctypes.cdll ~ pickle.loads ~ marshal.loads',
    '90 io.popen( ~ kernel.exec ~ kernel.open ~ kernel.system ~ open3. ~ instance_eval ~ class_eval ~ %x( ~ %x{ ~ %x[ ~ io.binread ~ .to_sym ~ erb.new ~ dir.entries ~ runtime.exec ~ syscall( ~ debugger_command',
    '92 server.createobject ~ wscript.shell ~ scripting.filesystemobject ~ <%eval ~ <% eval ~ <%execute ~ response.write( ~ system.diagnostics.process ~ objectdataprovider ~ system.reflection ~ system.io.file ~ system.net.webclient ~ activator.createinstance ~ typeof(system ~ @{system ~ @(system ~ aaeaaad///// ~ ro0abx ~ ro0ab ~ h4siaaaaaaaa ~ ysoserial ~ <%@ page ~ runtime.getruntime ~ <jsp: ~ <cfexecute ~ <cfset ~ cfschedule',
    "88 settings.secret_key ~ config.items() ~ config.from ~ self._template ~ request.application ~ {{config}} ~ {{self}} ~ {{request}} ~ {{settings}} ~ {{ config }} ~ {{ self }} ~ {$smarty ~ {{app. ~ {{dump( ~ {{ dump( ~ {{_self ~ _self.env ~ registerundefinedfiltercallback ~ getfilter( ~ |filter('system ~ |map('system ~ |sort('system ~ |reduce('system ~ [\"id\"]|filter ~ ['id']|filter ~ {% debug ~ {%debug ~ {% import ~ {% include ~ {%include ~ #set($ ~ #set ($ ~ $class.inspect ~ #evaluate( ~ #include( ~ #parse( ~ $ex= ~ <#assign ~ <#list ~ <#include ~ [#assign ~ {{constructor ~ {{$on.constructor ~ {{$eval ~ {{toString().constructor ~ {{#with ~ lookup string.sub ~ #with \"s\" ~ {{range. ~ {{.system ~ {{ .system ~ {{printf ~ {{html ~ writefile( ~ smarty_internal ~ ${self. ~ <%import ~ <% import ~ <%! ~ #{system ~ #{global ~ #{root ~ #{process ~ #{function ~ #{open ~ #{`",
  ],
  ssrf: [
    '84 jar:http ~ jar:https',
    '92 169.254.169.254 ~ 169.254.170.2 ~ metadata.google.internal ~ metadata.tencentyun ~ 100.100.100.200 ~ latest/meta-data ~ latest/user-data ~ latest/dynamic/instance ~ computemetadata/v1 ~ metadata/instance? ~ metadata/v1 ~ metadata.azure ~ opc/v1/instance ~ kubernetes.default.svc ~ 169.254.169.123 ~ 2852039166 ~ 0xa9fea9fe ~ instance-data/latest ~ fd00:ec2::254',
    '88 gopher:// ~ gopher: ~ dict:// ~ tftp:// ~ ldapi:// ~ sftp:// ~ rmi:// ~ iiop:// ~ netdoc: ~ unix:/ ~ http+unix: ~ docker.sock',
    '84 burpcollaborator ~ .oastify.com ~ .oast. ~ interact.sh ~ interactsh ~ dnslog.cn ~ .ceye.io ~ requestbin ~ webhook.site ~ canarytokens ~ bxss.me ~ xss.ht ~ .nip.io ~ .xip.io ~ .sslip.io ~ localtest.me ~ lvh.me ~ spoofed.burp ~ pipedream.net ~ ngrok.io ~ .beeceptor.com ~ dnsbin ~ r87.me',
  ],
  xxe: [
    '86 /child:: ~ child::node ~ /ancestor:: ~ /parent::* ~ string-length(name(',
    '94 <!entity',
    '84 <!element ~ <!attlist ~ <!notation ~ <xi:include ~ w3.org/2001/xinclude ~ <?xml-stylesheet ~ system "file: ~ system \'file: ~ system "http ~ system \'http ~ system "php: ~ system "expect: ~ system "ftp: ~ &xxe; ~ %xxe; ~ &lol ~ %dtd; ~ %remote; ~ %payload; ~ document(\'file: ~ document("file: ~ xsl:value-of ~ xsl:include ~ xsl:import ~ xsl:stylesheet ~ schemalocation="http://127 ~ unparsed-text(',
    '60 <![cdata[ ~ ]]>',
  ],
  ssi: [
    '95 <!--#exec ~ <!-- #exec ~ <!--#include ~ <!-- #include ~ <!--#echo ~ <!-- #echo ~ <!--#printenv ~ <!-- #printenv ~ <!--#config ~ <!-- #config ~ <!--#set ~ <!--#fsize ~ <!--#flastmod ~ <!--#if ~ <!--#elif ~ <!--#odbc ~ <!--# ~ <esi:include ~ <esi:vars ~ <esi:remove ~ <esi:inline ~ <esi:debug ~ $(http_cookie) ~ <esi:',
  ],
  graphql: [
    '86 on __type ~ fragment fulltype ~ fragment typeref ~ fragment inputvalue',
    '86 __schema ~ introspectionquery ~ __type(name ~ __type (name ~ __typekind ~ __inputvalue ~ __enumvalue ~ __directive ~ querytype{ ~ querytype { ~ possibletypes{ ~ fields(includedeprecated',
  ],
  xss: [
    "86 ['alert'] ~ [\"alert\"] ~ ['prompt'] ~ ['confirm'] ~ ['eval'] ~ [\"eval\"]",
    "62 document.body ~ appendchild( ~ createelement( ~ self[' ~ this[' ~ parent[' ~ frames[' ~ top[' ~ top[\" ~ window[' ~ window[\"",
    "88 document.cookie ~ document.domain ~ document.write ~ document.location ~ document[ ~ window.location= ~ window.location = ~ location.href= ~ location.href = ~ location='javascript ~ string.fromcharcode( ~ settimeout(' ~ settimeout(\" ~ settimeout` ~ setinterval(' ~ setinterval(\" ~ eval(atob ~ eval(location ~ eval(name ~ eval(string ~ atob(' ~ localstorage.getitem ~ xmlhttprequest( ~ new image().src ~ .innerhtml= ~ .innerhtml = ~ .outerhtml ~ innerhtml+= ~ navigator.sendbeacon ~ throw onerror ~ onerror=alert ~ onerror=eval ~ onload=alert ~ -moz-binding ~ expression(alert ~ expression( alert ~ url(javascript ~ url('javascript ~ url(\"javascript ~ $.getscript( ~ import('// ~ import(\"// ~ reflect.construct ~ valueof=alert ~ tostring=alert ~ {onerror=",
    '86 <( alert ~ confirm ~ prompt ~ msgbox',
    "84 alert` ~ confirm` ~ prompt` ~ (alert)( ~ (alert)` ~ [alert] ~ alert?.( ~ 'ale'+'rt' ~ \"al\"+\"ert\" ~ 'al'+'ert' ~ alert.call ~ alert.apply ~ alert.bind ~ .map(alert ~ .find(alert ~ .foreach(alert ~ .every(alert ~ .filter(alert ~ =alert; ~ al\\u0065rt ~ \\u0061lert ~ alert&lpar; ~ alert&#40; ~ co\\u006efirm ~ al\\x65rt ~ 8680439..tostring ~ [][( ~ (![]+[]) ~ !+[]+ ~ +!+[] ~ [+!+[]]",
  ],
  nosql: [
    '84 new date();do ~ new date(); do ~ }while( ~ } while(new',
    '66 .find({ ~ .insert({ ~ .update({ ~ .remove({ ~ .drop() ~ .findone( ~ while(1) ~ while(true) ~ while (true) ~ return true; ~ this.user ~ this.pass ~ return this. ~ db.users',
    '90 [$ne] ~ [$eq] ~ [$gt] ~ [$gte] ~ [$lt] ~ [$lte] ~ [$in] ~ [$nin] ~ [$regex] ~ [$exists] ~ [$or] ~ [$and] ~ [$not] ~ [$nor] ~ [$type] ~ [$size] ~ [$mod] ~ [$all] ~ [$expr] ~ [$elemmatch]',
    "88 db.collection ~ db.getcollection ~ db.getcollectionnames ~ tojson(this ~ tojson(db ~ mapreduce( ~ .deletemany( ~ this.password ~ this.username ~ ==this. ~ _all_docs ~ return(true) ~ return true} ~ ;return true ~ ;return' ~ ;sleep( ~ it=new date() ~ rs.status ~ db.injection ~ db.dropdatabase ~ runcommand(",
  ],
  ldap: [
    '60 (uid= ~ (cn= ~ (sn= ~ (mail= ~ (user= ~ (username= ~ (password= ~ (pass= ~ (ou= ~ (dc= ~ (department= ~ (memberof= ~ (givenname=',
    '84 (objectclass= ~ (userpassword= ~ (samaccountname= ~ (objectcategory=',
    '90 *)(& ~ *)(| ~ *)(uid ~ *)(cn ~ *)(objectclass ~ )(&) ~ )(|( ~ )(&( ~ )(!( ~ *))(| ~ *)) ( ~ *()| ~ (&(| ~ (|(& ~ )(cn= ~ )(uid= ~ )(mail= ~ )(userpassword ~ )(objectclass ~ )(password= ~ *)((| ~ |(cn= ~ |(uid= ~ |(objectclass ~ &(objectclass ~ &(cn= ~ !(cn= ~ *)(mail ~ *)(sn= ~ *)(user ~ *)(pass ~ *(|(',
  ],
  mail: [
    '90 rcpt to: ~ rcpt to ~ mail from:< ~ mail from: < ~ \\r\\nbcc: ~ \\nbcc: ~ \\r\\ncc: ~ \\r\\nto:',
  ],
  scanner: [
    '94 sqlmap ~ nikto ~ acunetix ~ netsparker ~ nessus ~ openvas ~ wpscan ~ dirbuster ~ gobuster ~ feroxbuster ~ ffuf ~ wfuzz ~ nuclei ~ w3af ~ arachni ~ havij ~ whatweb ~ zmeu ~ jorgee ~ morfeus ~ masscan ~ zgrab ~ nmap scripting ~ nmap nse ~ nmap ~ appscan ~ webinspect ~ qualys ~ burpsuite ~ burp suite ~ burpcollaborator ~ metasploit ~ skipfish ~ vega/ ~ joomscan ~ dotdotpwn ~ sqlninja ~ bsqlbf ~ pangolin ~ grendel-scan ~ paros/ ~ webscarab ~ whisker ~ n-stealth ~ xsser ~ commix ~ hydra ~ dirsearch ~ cgichk ~ grabber ~ l9explore ~ l9tcpid ~ nsauditor ~ owasp zap ~ zaproxy ~ zap/ ~ hellobot ~ gobyscan ~ xray ~ jaeles ~ httpx - ~ project discovery ~ interactsh ~ leakix ~ censysinspect ~ internet-measurement ~ expanse ~ jbrofuzz ~ revolt ~ httprint ~ webshag ~ sitesucker ~ absinthe ~ brutus/ ~ datacha0s ~ fimap ~ mysqloit ~ prog.customcrawler ~ springenwerk ~ sysscan ~ toata dragostea ~ webtrends security ~ blackwidow ~ scanner ~ fuzz faster ~ detectify ~ probely ~ tsunamisecurity ~ core-project/ ~ pmafind ~ gootkit ~ muieblackcat',
  ],
}

/** What makes the SQL detector worth its cost on a value without quotes. */
export const SQL_TRIGGERS: readonly string[] =
  'select~having ~where ~union~ or ~ and ~)or~)and~ xor ~ having ~order by~group by~waitfor~sleep~benchmark~exec~declare~drop ~insert ~update ~delete ~truncate ~alter ~create ~shutdown~--~/*~#~||~&&~outfile~dumpfile~procedure~rlike~regexp~ like ~load_file~extractvalue~updatexml~pg_~dbms_~utl_~xp_~sp_~limit ~or/**~and/**~or(~and(~or+~%20or~or 1~or true~or not~and 1~copy ~attach ~handler ~if(~iif(~case when~intersect~except~minus '.split(
    '~',
  )
